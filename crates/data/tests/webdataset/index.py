"""Lists the members of shards in the format of DALI's wds2idx, by Python's tarfile."""

import itertools
import sys
import tarfile


def parted(name):
    dot = name.index(".", name.rfind("/") + 1)
    return name[:dot], name[dot + 1 :]


def main(shard):
    members = [member for member in tarfile.open(shard) if member.isreg()]
    groups = [list(group) for _, group in itertools.groupby(members, lambda m: parted(m.name)[0])]
    with open(shard.removesuffix(".tar") + ".idx", "w") as file:
        print("v1.2", len(groups), file=file)
        for group in groups:
            words = [f"{parted(m.name)[1]} {m.offset_data} {m.size} {m.name}" for m in group]
            print(*words, file=file)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(argument)
