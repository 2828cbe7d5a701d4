"""The sample volume: a torso as a CT with contrast agent sees it, in Hounsfield units.

Every organ is a function of a place in millimetres to the patient's left, posterior and superior (LPS), so that the
volume can be sampled on any grid: here an oblique, anisotropic one, with several samples per voxel for partial volume.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SHAPE = (60, 112, 144)  # (z, y, x)
SPACING = (2.4, 2.4, 4.0)  # (x, y, z) in mm
CENTRE = np.array([4.5, -172.0, -310.0])  # where the middle of the torso is, LPS
TURN = (3.0, -2.0, 5.0)  # degrees about x, y and z
FINE = (3, 2, 2)  # samples per voxel along (z, y, x)

ORGANS = ("liver", "spleen", "right kidney", "left kidney", "lesion", "aorta", "right lung", "left lung")
"""The labels of the truth, from 1."""

VERTEBRA = np.array([0.0, 66.0, 6.0])
"""The middle of a vertebra, from the middle of the torso: where the liver is not."""

Inside = NDArray[np.bool_]
Point = tuple[float, float, float]


def direction() -> NDArray[np.float64]:
    """Columns are the directions of the x, y and z axes of the volume in LPS."""
    a, b, c = np.radians(TURN)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.round(about_z @ about_y @ about_x, 9)


def origin() -> NDArray[np.float64]:
    """LPS of the first voxel's centre."""
    middle = (np.array(SHAPE[::-1]) - 1) / 2
    return np.round(CENTRE - direction() @ (middle * SPACING), 4)


class Space:
    """Samples of the volume's grid, `fine` per voxel, in millimetres from the middle of the torso."""

    def __init__(self, fine: tuple[int, int, int]) -> None:
        axes = [(np.arange(n * f) + 0.5) / f - n / 2 for n, f in zip(SHAPE, fine, strict=True)]
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        turned = direction() * SPACING
        self.axes = [(row[0] * x + row[1] * y + row[2] * z).astype(np.float32) for row in turned]
        self.x, self.y, self.z = self.axes
        self.shape = self.x.shape
        self._to_voxels = np.linalg.inv(turned)
        self._fine = np.array(fine)

    def around(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[slice, ...]:
        """Slices that hold a box given by its corners in millimetres."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3)
        voxels = (corners @ self._to_voxels.T)[:, ::-1] + np.array(SHAPE) / 2
        first = np.clip(np.floor(voxels.min(axis=0) * self._fine).astype(int), 0, self.shape)
        last = np.clip(np.ceil(voxels.max(axis=0) * self._fine).astype(int), 0, self.shape)
        return tuple(slice(a, b) for a, b in zip(first, last, strict=True))


def egg(p: Space, centre: Point, radii: Point, rough: float = 0.0, seed: int = 0) -> Inside:
    """An ellipsoid with an uneven surface."""
    reach = np.array(radii) * np.sqrt(1 + 5 * rough)
    place = p.around(centre - reach, centre + reach)
    here = [axis[place] for axis in p.axes]
    distance = sum(((v - c) / r) ** 2 for v, c, r in zip(here, centre, radii, strict=True))
    if rough:
        rng = np.random.default_rng(seed)
        for _ in range(5):
            k, phase = rng.normal(0, 0.045, 3), rng.uniform(0, 2 * np.pi)
            distance = distance + rough * np.sin(k[0] * here[0] + k[1] * here[1] + k[2] * here[2] + phase)
    inside = np.zeros(p.shape, bool)
    inside[place] = distance < 1
    return inside


def tube(p: Space, ends: list[Point], radius: float, last: float | None = None) -> Inside:
    """A tube along a line of points, narrowing from `radius` to `last`."""
    inside = np.zeros(p.shape, bool)
    radii = np.linspace(radius, radius if last is None else last, len(ends))
    for a, b, r in zip(ends[:-1], ends[1:], radii, strict=False):
        place = p.around(np.minimum(a, b) - r, np.maximum(a, b) + r)
        here = [axis[place] - c for axis, c in zip(p.axes, a, strict=True)]
        line = np.subtract(b, a)
        t = np.clip(sum(v * n for v, n in zip(here, line, strict=True)) / float(line @ line), 0, 1)
        inside[place] |= sum((v - t * n) ** 2 for v, n in zip(here, line, strict=True)) < r**2
    return inside


def torso(p: Space, scale: float) -> Inside:
    """The trunk's outline, shrunk by `scale`; flatter at the back."""
    y = np.where(p.y > 0, p.y / 96, p.y / 106)
    return np.abs(p.x / 152) ** 2.4 + np.abs(y) ** 2.4 < scale**2.4


class Body:
    """Hounsfield units and labels at some places, painted from the outside in."""

    def __init__(self, p: Space) -> None:
        self.p = p
        self.hu = np.full(p.shape, -1000, np.float32)
        self.labels = np.zeros(p.shape, np.uint8)
        self._wall()
        self._chest()
        self._abdomen()
        self._vessels()
        self._bones()

    def fill(self, inside: Inside, hu: float, organ: str = "") -> None:
        self.hu[inside] = hu
        self.labels[inside] = ORGANS.index(organ) + 1 if organ else 0

    def _wall(self) -> None:
        x, y = self.p.x, self.p.y
        table = np.abs(y - 112 + (x / 42) ** 2) < 3.5
        self.fill(table & (np.abs(x) < 165), -550)
        self.fill(torso(self.p, 1.0), 20)
        self.fill(torso(self.p, 0.985), -105)
        self.fill(torso(self.p, 0.91), 58)
        self.inner = torso(self.p, 0.80) & ~((np.abs(x) < 48) & (y > 52))
        self.fill(self.inner, -98)
        for side in (-1, 1):
            self.fill(egg(self.p, (side * 40, 78, 0), (30, 17, 400)), 52)
            self.fill(egg(self.p, (side * 37, 50, -105), (17, 17, 75)), 60)

    def _chest(self) -> None:
        x, y, z = self.p.axes
        wall = torso(self.p, 0.785) & ~((np.abs(x) < 44) & (y > 50))
        middle = np.abs(x - 4) > 24 + 12 * np.cos(z / 40)
        right = z > 34 + 44 * np.exp(-(((x + 68) / 58) ** 2) - ((y + 5) / 62) ** 2)
        left = z > 30 + 38 * np.exp(-(((x - 72) / 50) ** 2) - (y / 60) ** 2)
        self.fill(wall & middle & right & (x < 0), -850, "right lung")
        self.fill(wall & middle & left & (x > 0), -855, "left lung")
        self.heart = egg(self.p, (24, -26, 84), (52, 44, 46), 0.08, 3)
        self.fill(self.heart, 70)
        self.fill(egg(self.p, (32, -30, 82), (30, 26, 30), 0.06, 4), 210)
        for ends in (
            [(-30, 10, 96), (-62, 20, 108), (-88, 40, 112)],
            [(-32, 6, 100), (-66, -14, 112), (-86, -36, 108)],
        ):
            self.fill(tube(self.p, ends, 5.5, 2.5), 150)
            self.fill(tube(self.p, [(-e[0] * 1.02, e[1] + 8, e[2]) for e in ends], 5.5, 2.5), 150)

    def _abdomen(self) -> None:
        p, inner = self.p, self.inner
        y, z = p.y, p.z
        below_lungs = inner & (self.hu > -500) & ~self.heart
        stomach = egg(p, (66, -28, 14), (40, 36, 44), 0.12, 5) & below_lungs
        self.fill(stomach, 62)
        lumen = egg(p, (66, -28, 14), (35, 31, 39), 0.12, 5) & below_lungs
        self.fill(lumen, 18)
        self.fill(lumen & (y < -43), -930)
        self._bowel(inner & (z < -18))
        liver = egg(p, (-66, -8, 16), (74, 76, 66), 0.10, 6) | egg(p, (-8, -48, 26), (64, 32, 30), 0.10, 7)
        liver &= ~egg(p, (-20, 62, -30), (60, 56, 50)) & ~stomach & below_lungs
        self.fill(liver, 108, "liver")
        self.fill(egg(p, (-46, -44, -32), (15, 20, 24), 0.06, 8) & below_lungs, 12)
        self.fill(egg(p, (102, 34, 22), (26, 40, 46), 0.12, 9) & below_lungs & ~stomach, 126, "spleen")
        for side, name in ((-1, "right kidney"), (1, "left kidney")):
            self._kidney(side, name)
        self.fill(tube(p, [(-28, 2, -14), (8, -2, -6), (40, 8, 2), (74, 26, 14)], 11, 8) & (self.labels == 0), 88)

    def _kidney(self, side: int, name: str) -> None:
        centre = (side * 60 + (2 if side > 0 else -2), 44, -46 if side < 0 else -34)
        self.fill(egg(self.p, centre, (33, 31, 55), 0.05, 10 + side) & self.inner, -100)
        bean = egg(self.p, centre, (27, 25, 49), 0.05, 10 + side)
        sinus = egg(self.p, (centre[0] - side * 20, centre[1] - 4, centre[2]), (17, 12, 22))
        self.fill(bean & ~sinus & (self.labels == 0), 175, name)
        self.hu[egg(self.p, centre, (18, 16, 39), 0.05, 10 + side) & bean & ~sinus] = 168
        self.fill(egg(self.p, (centre[0] - side * 16, centre[1] - 4, centre[2]), (8, 7, 13)), 15)

    def _bowel(self, room: Inside) -> None:
        rng = np.random.default_rng(12)
        for i in range(34):
            centre = rng.uniform((-95, -70, -118), (95, 12, -30))
            loop = tuple(rng.uniform(13, 22, 3))
            self.fill(egg(self.p, tuple(centre), loop, 0.1, 40 + i) & room, 55)
            lumen = egg(self.p, tuple(centre), tuple(r - 4 for r in loop), 0.1, 40 + i) & room
            self.fill(lumen, rng.choice((12, 25, 120)))
            if rng.random() < 0.4:
                self.fill(lumen & (self.p.y < centre[1] - 4), -880)

    def _vessels(self) -> None:
        p, liver = self.p, self.labels == 1
        branches = (
            [(-22, 2, -8), (-46, -6, 6), (-84, -4, 12), (-112, 2, 6)],
            [(-46, -6, 6), (-62, -30, 26), (-84, -46, 34)],
            [(-46, -6, 6), (-58, 20, 34), (-84, 34, 44)],
            [(-30, -4, 0), (-16, -34, 22), (14, -52, 28)],
            [(-24, 24, 62), (-50, 8, 52), (-84, -14, 48)],
            [(-24, 24, 62), (-70, 30, 40), (-106, 30, 20)],
        )
        for ends in branches:
            self.hu[tube(p, ends, 5.5, 2.8) & liver] = 172
        self.fill(egg(p, (-96, 2, -14), (19, 17, 17), 0.10, 20) & liver, 52, "lesion")
        self.hu[egg(p, (-96, 2, -14), (8, 8, 8)) & (self.labels == 5)] = 42
        self.fill(egg(p, (-58, -46, 8), (9, 9, 9)) & liver, 55, "lesion")
        wave = [(-22 + 2 * np.sin(z / 30), 34, float(z)) for z in range(-150, 80, 12)]
        self.fill(tube(p, wave, 12.0), 145)
        line = [(13 + 3 * np.sin(z / 45), 38 + 2 * np.cos(z / 50), float(z)) for z in range(-160, 170, 12)]
        self.fill(tube(p, line, 12.5), 300, "aorta")
        for side in (-1, 1):
            self.fill(
                tube(p, [(13, 38, -36), (side * 22 + 13, 38, -38), (side * 46, 42, -40)], 4.0) & (self.labels == 0), 280
            )

    def _bones(self) -> None:
        p = self.p
        x, y, z = p.axes
        in_disc = np.abs((z + 11) % 34 - 17) > 13.2
        waist = 1 + 0.10 * np.cos((z + 11) / 34 * 2 * np.pi + np.pi) * -1
        body = (x / (23 * waist)) ** 2 + ((y - 66) / (18 * waist)) ** 2
        self.fill(body < 1, 480)
        self.fill(body < 0.80, 215)
        self.fill((body < 1) & in_disc, 85)
        canal = (x / 13) ** 2 + ((y - 93) / 10) ** 2
        self.fill((canal < 2.2) & ~in_disc & (y < 104), 520)
        self.fill(canal < 1, 25)
        bump = np.abs((z + 11) % 34 - 17) < 8
        self.fill((np.abs(x) < 4) & (y > 100) & (y < 114 - np.abs(z % 34 - 17) / 3) & bump & torso(p, 0.97), 560)
        self.fill((np.abs(np.abs(x) - 30) < 16) & (np.abs(y - 86) < 4.5) & bump, 430)
        self._ribs()

    def _ribs(self) -> None:
        p = self.p
        x, y, z = p.axes
        slant = (z + 0.42 * y - 0.08 * np.abs(x) + 6) % 33 - 16.5
        shell = torso(p, 0.90) & ~torso(p, 0.84)
        rib = shell & (np.abs(slant) < 5.5) & (z > -38 - 0.6 * y) & (np.abs(x) > 22)
        self.fill(rib, 620)
        self.fill(rib & torso(p, 0.885) & ~torso(p, 0.855) & (np.abs(slant) < 3.2), 260)
        sternum = (np.abs(x) < 16) & torso(p, 0.90) & ~torso(p, 0.80) & (y < -40) & (z > 46)
        self.fill(sternum, 420)


def scan() -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The volume in HU and its labels, both ``SHAPE``."""
    rng = np.random.default_rng(11)
    fine = Body(Space(FINE)).hu
    z, y, x = SHAPE
    seen = fine.reshape(z, FINE[0], y, FINE[1], x, FINE[2]).mean(axis=(1, 3, 5))
    labels = Body(Space((1, 1, 1))).labels
    tissue = 4.0 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.0) / 0.09 * (seen > -300)
    seen = ndimage.gaussian_filter(seen, (0.25, 0.55, 0.55)) + 0.35 * tissue
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), (0.0, 0.75, 0.75))
    row, column = np.mgrid[-1 : 1 : y * 1j, -1 : 1 : x * 1j]
    strength = 8.0 + 6.0 * np.exp(-2 * (row**2 + column**2))  # more where the rays pass more of the body
    hu = seen + noise / noise.std() * strength
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), labels
