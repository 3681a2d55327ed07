"""What runs inside the jail: the zygote, its lockdown, the guest's side of the protocol, the helpers.

The zygote imports this folder as the package `inside`, with the standard library and nothing else on its path: these
modules import each other relatively and never the rest of the project.
"""
