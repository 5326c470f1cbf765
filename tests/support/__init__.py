"""What tests share: async runner, needs, certificates, ports, twin builds."""
