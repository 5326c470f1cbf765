"""Scripts: what Redis does in one step, in its own Lua.

The time is always that of the server, so that no clock of a node decides anything. The
id of an entry in a stream is its offset and its tag: no room is taken by them, and XADD
refuses an offset that was issued already.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

__all__ = ["APPEND", "CLEAR", "MEMBERS", "PRESENCE", "READ", "Script"]


class Script(NamedTuple):
    """A script and the digest that Redis knows it by."""

    text: str
    sha: str


def _script(text: str) -> Script:
    # RFC 3174 is what Redis names scripts by; nothing is secured by it.
    digest = hashlib.sha1(text.encode(), usedforsecurity=False)
    return Script(text, digest.hexdigest())


# Milliseconds since 1970, as text and as number.
_TIME = """
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
"""

# Epoch, offset and tag; a new epoch where there is none, and no old entries in it.
_META = """
local meta = redis.call('GET', KEYS[1])
local epoch, offset, last
if meta then epoch, offset, last = string.match(meta, '^([%w_-]+)%.(%d+)%.(%d+)$') end
"""

# KEYS meta, stream, id
# ARGV data, tag, history, ttl, meta ttl, channel, new epoch, again, id ttl, PUBLISH
APPEND = _script(
    _META
    + """
if not epoch then
  epoch, offset, last = ARGV[7], '0', '0'
  redis.call('DEL', KEYS[2])
end
if ARGV[9] ~= '0' then
  local found = redis.call('GET', KEYS[3])
  if found then return {found, 1} end
end
if ARGV[8] == '1' then
  if last == ARGV[2] then return {epoch .. '.' .. offset .. '.' .. last, 1} end
  if ARGV[3] ~= '0' then
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 256)) do
      local place, tag = string.match(entry[1], '^(%d+)-(%d+)$')
      if tag == ARGV[2] then return {epoch .. '.' .. place .. '.' .. tag, 1} end
    end
  end
end
"""
    + _TIME
    + """
local next = string.format('%.0f', tonumber(offset) + 1)
if ARGV[3] ~= '0' then
  local id = next .. '-' .. ARGV[2]
  local done = redis.pcall('XADD', KEYS[2], 'MAXLEN', ARGV[3], id,
    'a', now, 'd', ARGV[1])
  if type(done) == 'table' and done.err then
    if not string.find(done.err, 'equal or smaller', 1, true) then
      return redis.error_reply(done.err)
    end
    redis.call('DEL', KEYS[2])
    epoch, next, last = ARGV[7], '1', '0'
    redis.call('XADD', KEYS[2], '1-' .. ARGV[2], 'a', now, 'd', ARGV[1])
  end
  redis.call('PEXPIRE', KEYS[2], 2 * tonumber(ARGV[4]))
end
local place = epoch .. '.' .. next .. '.' .. ARGV[2]
redis.call('SET', KEYS[1], place, 'PX', ARGV[5])
if ARGV[9] ~= '0' then redis.call('SET', KEYS[3], place, 'PX', ARGV[9]) end
redis.call(ARGV[10], ARGV[6], place .. '.' .. last .. '.' .. now .. '\\n' .. ARGV[1])
return {place, 0}
"""
)

# KEYS meta, stream
# ARGV epoch, offset, tag, limit, size, ttl, meta ttl, new epoch, reverse
# -> meta, now, tag at offset or '', offset of the oldest or '', more, id, at, data, ...
READ = _script(
    _META
    + _TIME
    + """
if not epoch then
  meta = ARGV[8] .. '.0.0'
  redis.call('SET', KEYS[1], meta, 'PX', ARGV[7])
  redis.call('DEL', KEYS[2])
  return {meta, now, '', '', 0}
end
redis.call('PEXPIRE', KEYS[1], ARGV[7])
local oldest = tonumber(now) - tonumber(ARGV[6])
local limit, size, taken, total = tonumber(ARGV[4]), tonumber(ARGV[5]), 0, 0
local answer = {meta, now, '', '', 0}

local function take(entry)
  local data = entry[2][4]
  total = total + #data
  if taken >= limit or (taken > 0 and total > size) then
    answer[5] = 1
    return false
  end
  taken = taken + 1
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
  answer[#answer + 1] = data
  return true
end

if ARGV[9] == '1' then
  if ARGV[1] ~= '' and ARGV[1] ~= epoch then return answer end
  local from = '+'
  if ARGV[1] ~= '' then
    if ARGV[2] == '0' then return answer end
    from = '(' .. ARGV[2] .. '-0'
  end
  while limit > 0 do
    local found = redis.call('XREVRANGE', KEYS[2], from, '-', 'COUNT', 32)
    if #found == 0 then return answer end
    for _, entry in ipairs(found) do
      if tonumber(entry[2][2]) <= oldest or not take(entry) then return answer end
      from = '(' .. entry[1]
    end
  end
  return answer
end

if ARGV[1] ~= epoch or tonumber(ARGV[2]) >= tonumber(offset) then return answer end
local from = '(' .. ARGV[2] .. '-' .. ARGV[3]
if ARGV[2] == '0' then
  from = '-'
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if first and tonumber(first[2][2]) > oldest then
    answer[4] = string.match(first[1], '^(%d+)')
  end
  if answer[4] ~= '1' then return answer end
else
  local own = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2], 'COUNT', 1)[1]
  if own and tonumber(own[2][2]) > oldest then
    answer[3] = string.match(own[1], '-(%d+)$')
  end
  if answer[3] ~= ARGV[3] then return answer end
end
while true do
  local found = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 32)
  if #found == 0 then return answer end
  for _, entry in ipairs(found) do
    if not take(entry) then return answer end
    from = '(' .. entry[1]
  end
end
"""
)

# KEYS meta, stream
# ARGV new epoch, meta ttl, channel, PUBLISH
CLEAR = _script(
    _TIME
    + """
local place = ARGV[1] .. '.0.0'
redis.call('SET', KEYS[1], place, 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call(ARGV[4], ARGV[3], place .. '.0.' .. now .. '\\n')
return place
"""
)

# What a member's hash field has: node, length of user or -1, user and info.
_MEMBER = """
local function parts(value)
  local node, size, rest = string.match(value, '^([^\\n]*)\\n(-?%d+)\\n(.*)$')
  return node, tonumber(size), rest
end
local function owner(client, value)
  local _, size, rest = parts(value)
  if size < 0 then return 'c' .. client end
  return 'u' .. string.sub(rest, 1, size)
end
"""

# KEYS leases, members, users
# ARGV count of dead nodes, dead nodes..., then of each change:
#   j client value lease | r client node lease | l client node lease
# -> clients, users, joined (client, value, ...), left (the same), unknown
PRESENCE = _script(
    _MEMBER
    + _TIME
    + """
now = tonumber(now)
local joined, left, unknown = {}, {}, {}
local longest = 0

local function remove(client)
  local value = redis.call('HGET', KEYS[2], client)
  redis.call('ZREM', KEYS[1], client)
  if not value then return end
  redis.call('HDEL', KEYS[2], client)
  local user = owner(client, value)
  if redis.call('HINCRBY', KEYS[3], user, -1) <= 0 then
    redis.call('HDEL', KEYS[3], user)
  end
  left[#left + 1] = client
  left[#left + 1] = value
end

for _, client in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  remove(client)
end
local dead = tonumber(ARGV[1])
if dead > 0 then
  local gone = {}
  for i = 2, 1 + dead do gone[ARGV[i]] = true end
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    if gone[(parts(all[i + 1]))] then remove(all[i]) end
  end
end

for i = 2 + dead, #ARGV, 4 do
  local what, client, given = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local lease = tonumber(ARGV[i + 3])
  local value = redis.call('HGET', KEYS[2], client)
  local alive = value and true or false
  if what == 'j' then
    if not value then
      redis.call('HINCRBY', KEYS[3], owner(client, given), 1)
      joined[#joined + 1] = client
      joined[#joined + 1] = given
    end
    redis.call('HSET', KEYS[2], client, given)
    alive = true
  elseif not value then
    if what == 'r' then unknown[#unknown + 1] = client end
  elseif (parts(value)) ~= given then
    alive = false
  elseif lease <= 0 then
    remove(client)
    alive = false
  end
  if alive then
    redis.call('ZADD', KEYS[1], now + lease, client)
    if lease > longest then longest = lease end
  end
end
if longest > 0 then
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 10 * longest + 600000) end
end
local clients, users = redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[3])
return {clients, users, joined, left, unknown}
"""
)

# KEYS leases, members, users
# ARGV limit
# -> clients, users, client, value, ...
MEMBERS = _script(
    _TIME
    + """
local after = '(' .. now
local clients = redis.call('ZCOUNT', KEYS[1], after, '+inf')
local answer = {clients, math.min(clients, redis.call('HLEN', KEYS[3]))}
local names = redis.call('ZRANGEBYSCORE', KEYS[1], after, '+inf',
  'LIMIT', 0, tonumber(ARGV[1]))
for _, client in ipairs(names) do
  local value = redis.call('HGET', KEYS[2], client)
  if value then
    answer[#answer + 1] = client
    answer[#answer + 1] = value
  end
end
return answer
"""
)
