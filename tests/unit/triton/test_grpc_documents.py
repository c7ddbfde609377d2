"""What gRPC's messages are as documents, in the terms of Triton's JSON."""

from google.protobuf.json_format import ParseDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritongen.triton.grpc_client import _as_dict


def test_of_alternatives_only_the_one_that_was_chosen_is_told():
    config = ModelConfig(name="m")
    config.model_warmup.add().inputs["X"].zero_data = True
    document = _as_dict(config)
    assert document["model_warmup"][0]["inputs"]["X"] == {
        "data_type": "TYPE_INVALID", "dims": [], "zero_data": True,
    }  # fmt: skip
    assert document["max_batch_size"] == 0
    assert ParseDict(document, ModelConfig()) == config
