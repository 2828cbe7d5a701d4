from promptile_brightness import Brightness

from promptile.testing import ModelContract


class TestImages(ModelContract):
    def model(self) -> Brightness:
        return Brightness(2)


class TestVolumes(ModelContract):
    def model(self) -> Brightness:
        return Brightness(3)
