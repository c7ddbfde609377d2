"""Channels of gRPC to servers that nobody vouches for: how large a message may be."""

from tritongen.triton.foreign_answer import MAX_BODY_BYTES

__all__ = ["MAX_MESSAGE_BYTES", "channel_options"]

# What Triton and gRPC can send at all.
MAX_MESSAGE_BYTES = 2**31 - 1


def channel_options(most_bytes: int = MAX_BODY_BYTES) -> list[tuple[str, int]]:
    """Options of a channel.

    Args:
        most_bytes: of one answer; what is sent has no limit but gRPC's own.
    """
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", most_bytes),
    ]
