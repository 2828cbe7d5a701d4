"""Names for objects that are already there: each is cut out of the image, and a ranker says which text fits it.

::

    options      which texts, and how sure the ranker must be
    cutouts      an object -> a picture of it
    ranking      pictures -> categories
    naming       a run of everything -> its named objects alone
"""

from promptile.engine.ranking.cutouts import Cutter
from promptile.engine.ranking.naming import Naming, label_table, name_objects
from promptile.engine.ranking.options import RANKER, Phrases
from promptile.engine.ranking.ranking import Label, loaded, rank

__all__ = ["RANKER", "Cutter", "Label", "Naming", "Phrases", "label_table", "loaded", "name_objects", "rank"]
