"""What runs inside the jail: the zygote, its lockdown, the guest's side of the protocol, the helpers.

And `reading`, the process that runs the helpers for monty. Both processes import this folder as the package `inside`,
with the standard library and nothing else on their path: these modules import each other relatively and never the rest
of the project.
"""
