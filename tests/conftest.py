"""Every test process simulates 8 devices; what asks for no mesh runs on the first one, as on a machine with one."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
