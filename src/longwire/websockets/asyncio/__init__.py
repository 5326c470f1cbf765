"""longwire's asyncio front end under the names of the documented API."""
