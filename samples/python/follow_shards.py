#!/usr/bin/env python3
"""Follows who owns which shard, with grpcio and the contracts alone.

Prints one line of JSON for the snapshot and one for each change, each with the token at which a later call goes on:

    follow_shards.py --target meshkit.example.org:7400 --ca ca.pem --token-file reader.token \\
        --descriptors meshkit.bin --namespace inventory

`buf build proto --output meshkit.bin` writes the contracts of this repository.
"""

import argparse
import json
import pathlib
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

METHOD = "/meshkit.v1.ShardsService/WatchShards"


def messages(descriptors: bytes) -> tuple[type, type]:
    """The classes of the request and of the answer, made of the contracts."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    # Older protobuf has a factory instead of the function.
    message_class = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    names = ("meshkit.v1.WatchShardsRequest", "meshkit.v1.WatchShardsResponse")
    request, answer = (message_class(pool.FindMessageTypeByName(name)) for name in names)
    return request, answer


class Owners:
    """Who owns what, as the watch tells it."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, int], str] = {}
        self.pending: dict[tuple[str, int], str] = {}
        self.checksum = 0

    def part(self, shards) -> None:
        """Keeps a part of a snapshot, which nobody sees before its end has come."""
        for shard in shards:
            self.pending[(shard.shard_namespace, shard.id)] = shard.owner
            self.checksum ^= shard.checksum

    def complete(self, end) -> None:
        """Takes the snapshot over where it is whole."""
        if (len(self.pending), self.checksum) != (end.shards, end.checksum):
            raise ValueError(f"{len(self.pending)} of {end.shards} shards came, or others: begin anew")
        self.of, self.pending, self.checksum = self.pending, {}, 0


def follow(stub, request, most: int) -> None:
    """Prints changes until there were so many."""
    owners, told = Owners(), 0
    for answer in stub(request):
        owners.part(answer.snapshot)
        if answer.HasField("complete"):
            owners.complete(answer.complete)
            print(json.dumps({"snapshot": len(owners.of), "revision": answer.complete.revision}), flush=True)
        if not answer.HasField("event"):
            continue
        kind = answer.event.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[answer.event.type].name
        kind = kind.removeprefix("WATCH_EVENT_TYPE_").lower()
        if kind == "resync_required":
            # Changes were missed: what is known is old, and a snapshot has to be asked for.
            raise ValueError(f"the control plane does not know the past any more: {answer.event.reason}")
        if kind == "bookmark":
            continue
        change = {"event": kind, "key": answer.event.key, "owner": answer.shard.owner, "fence": answer.shard.fence}
        change |= {"revision": answer.event.revision, "resume": answer.event.resume_token}
        print(json.dumps(change), flush=True)
        told += 1
        if told == most:
            return


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--target", required=True, help="HOST:PORT of meshkitd")
    arguments.add_argument("--ca", required=True, type=pathlib.Path, help="whom to believe, as PEM")
    arguments.add_argument("--token-file", required=True, type=pathlib.Path, help="a token that may observe the mesh")
    arguments.add_argument("--descriptors", required=True, type=pathlib.Path, help="the contracts, as a FileDescriptorSet")
    arguments.add_argument("--namespace", default="", help="one namespace; left out, all of them")
    arguments.add_argument("--after", type=int, default=0, help="begin behind this revision instead of with a snapshot")
    arguments.add_argument("--resume", default="", help="go on where another call ended")
    arguments.add_argument("--events", type=int, default=0, help="end after so many changes; 0 is never")
    asked = arguments.parse_args()

    request_class, answer_class = messages(asked.descriptors.read_bytes())
    request = request_class(shard_namespace=asked.namespace, after_revision=asked.after, resume_token=asked.resume)
    request.snapshot = not asked.resume and asked.after == 0
    token = grpc.access_token_call_credentials(asked.token_file.read_text().strip())
    channel_credentials = grpc.ssl_channel_credentials(asked.ca.read_bytes())
    credentials = grpc.composite_channel_credentials(channel_credentials, token)
    with grpc.secure_channel(asked.target, credentials) as channel:
        stub = channel.unary_stream(
            METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_class.FromString,
        )
        try:
            follow(stub, request, asked.events)
        except (ValueError, grpc.RpcError) as error:
            reason = error.details() if isinstance(error, grpc.RpcError) else error
            print(f"the watch has ended: {reason}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
