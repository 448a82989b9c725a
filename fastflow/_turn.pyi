TO_GREEDIEST: int
TO_ALL: int
BY_PARTITION: int
BY_PROTOCOL: int

def reask_rule(open_demand: int, handled: int, max_demand: int, min_demand: int) -> tuple[int, int]: ...
