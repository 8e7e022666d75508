"""Files of Qdrant's own engine: a collection's snapshot as a server makes it, and what the engine reads of one.

    edge.py make FOLDER POINTS     writes FOLDER/collection.snapshot
    edge.py read FOLDER SNAPSHOT   prints how many points the engine counts, and the text of the last
"""

import io
import os
import sys
import tarfile

import qdrant_edge as edge

SIZE = 8
CONFIG = b'{"params":{"vectors":{"size":8,"distance":"Cosine"},"shard_number":1,"replication_factor":1}}'


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def segment(folder):
    """A segment as it stands in a snapshot: an archive of its own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for root, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(root, name)
                archive.add(path, "snapshot/files/" + os.path.relpath(path, folder))
    return out.getvalue()


def make(folder, points):
    shard = os.path.join(folder, "shard")
    os.makedirs(shard)
    vectors = edge.EdgeVectorParams(size=SIZE, distance=edge.Distance.Cosine)
    store = edge.EdgeShard.create(shard, edge.EdgeConfig(vectors=vectors, wal_enabled=False))
    vector = lambda n: [1.0 / (1 + (n + at) % 7) for at in range(SIZE)]
    made = [edge.Point(n, vector(n), {"data": "memory %d" % n}) for n in range(points)]
    store.update(edge.UpdateOperation.upsert_points(made))
    store.flush()
    store.close()
    with tarfile.open(os.path.join(folder, "collection.snapshot"), "w") as archive:
        add(archive, "version.info", b"1.15.0")
        add(archive, "config.json", CONFIG)
        segments = os.path.join(shard, "segments")
        for name in os.listdir(segments):
            add(archive, "0/segments/%s.tar" % name, segment(os.path.join(segments, name)))
        archive.add(os.path.join(shard, "edge_config.json"), "0/edge_config.json")


def read(folder, snapshot):
    # The engine restores a shard: what a collection's snapshot has beneath its number.
    shard = os.path.join(folder, "shard.tar")
    with tarfile.open(snapshot) as archive, tarfile.open(shard, "w") as out:
        for entry in archive:
            if entry.name.startswith("0/"):
                data = archive.extractfile(entry)
                entry.name = entry.name[2:]
                out.addfile(entry, data)
    restored = os.path.join(folder, "restored")
    edge.EdgeShard.unpack_snapshot(shard, restored)
    store = edge.EdgeShard.load(restored)
    count = store.count(edge.CountRequest(exact=True))
    last = store.retrieve([count - 1], True, False)[0]
    print(count, last.payload["data"])


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        read(sys.argv[2], sys.argv[3])
