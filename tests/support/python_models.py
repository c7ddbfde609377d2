"""Models of the Python backend that several files of tests serve."""

from pathlib import Path

import sklearn.datasets

from support.cli import Project

IMAGES = Path(sklearn.datasets.__file__).parent / "images"
# As in Triton's own examples: it sends from a thread, and refuses to start without the policy.
REPEAT = """
import json
import threading

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IN", "data_type": "TYPE_FP32", "dims": [3]})
        config.add_output({"name": "OUT", "data_type": "TYPE_FP32", "dims": [3]})
        config.set_max_batch_size(8)
        return config

    def initialize(self, args):
        if not pb_utils.using_decoupled_model_transaction_policy(json.loads(args["model_config"])):
            raise pb_utils.TritonModelException("it needs the decoupled policy")

    def execute(self, requests):
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            arguments = (request.get_response_sender(), values)
            threading.Thread(target=self.answer, args=arguments).start()
        return None

    def answer(self, sender, values):
        for factor in range(1, 4):
            out = pb_utils.Tensor("OUT", (values * factor).astype(np.float32))
            sender.send(pb_utils.InferenceResponse([out]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
# Takes an encoded photo, and refuses what is none in its own words.
PHOTOS = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IMAGE", "data_type": "TYPE_STRING", "dims": [1]})
        config.add_output({"name": "MEAN", "data_type": "TYPE_FP32", "dims": [1]})
        config.set_max_batch_size(8)
        return config

    def execute(self, requests):
        responses = []
        for request in requests:
            images = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()
            if not all(image.startswith(b"\\xff\\xd8") for image in images):
                raise ValueError("cannot identify image file")
            means = [[np.frombuffer(image, np.uint8).mean()] for image in images]
            out = pb_utils.Tensor("MEAN", np.array(means, np.float32))
            responses.append(pb_utils.InferenceResponse([out]))
        return responses
"""
# Asks the model dense, and hands its answer on.
CALLER = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]})
        config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 3]})
        return config

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        call = pb_utils.InferenceRequest(
            model_name="dense", inputs=request.inputs(), requested_output_names=["y"]
        )
        response = call.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return pb_utils.InferenceResponse(response.output_tensors())
"""


def photos(project: Project) -> None:
    """A model of JPEG bytes, and three photos."""
    project.write("models/photos/1/model.py", PHOTOS)
    for index, name in enumerate(("china.jpg", "flower.jpg", "china.jpg")):
        # What follows the end of an image is none of it.
        content = (IMAGES / name).read_bytes() + b"\0" * index
        project.write(f"models/shots/{index}.jpg", content)
    project.write("models/tritongen.yaml", "models: {photos: {samples: {IMAGE: shots/*.jpg}}}\n")
