"""What options mean together, before anything is computed."""

import subprocess
import sys
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.explore import options
from zoo.explore.clustering import CLUSTERINGS
from zoo.explore.distances import METRICS
from zoo.explore.kmeans import RULES
from zoo.explore.options import plan_of
from zoo.explore.reduction import REDUCTIONS
from zoo.explore.selection import SELECTIONS


def test_the_names_are_those_of_what_does_the_work() -> None:
    assert tuple(REDUCTIONS) == options.EXTRACTION
    assert tuple(SELECTIONS) == options.SELECTION
    assert tuple(CLUSTERINGS) == options.CLUSTER
    assert tuple(METRICS) == options.DISTANCE
    assert set(RULES) == set(options.RULES)


def test_without_options_points_are_reduced_and_clustered() -> None:
    plan = plan_of()
    assert (plan.reduce, plan.cluster, plan.components, dict(plan.clustering)) == ("pca", "kmeans", 0, {})


def test_what_is_named_alone_is_done_alone() -> None:
    assert (plan_of(reduce="pls").reduce, plan_of(reduce="pls").cluster) == ("pls", "")
    assert (plan_of(cluster="dbscan").reduce, plan_of(cluster="dbscan").cluster) == ("", "dbscan")


def test_clusters_is_a_number_or_of_kmeans_a_rule() -> None:
    assert plan_of(clusters="4").clustering == {"k": 4}
    assert plan_of(clusters="gap").clustering == {"rule": "gap"}
    with pytest.raises(ConfigError, match="must be a number, but is 'gap'"):
        plan_of(cluster="kmedoids", clusters="gap")


def test_a_distance_without_means_brings_a_linkage_that_needs_none() -> None:
    assert plan_of(cluster="hierarchical", distance="cosine").clustering["linkage"] == "average"
    assert "linkage" not in plan_of(cluster="hierarchical", distance="mahalanobis").clustering


@pytest.mark.parametrize(("given", "message"), [
    ({"reduce": "autoencode"}, "unknown reduction 'autoencode'; did you mean 'autoencoder'?"),
    ({"cluster": "kmean"}, "unknown clustering 'kmean'; did you mean 'kmeans'?"),
    ({"scale": "z-score"}, "unknown scaling 'z-score'; did you mean 'zscore'?"),
    ({"cluster": "kmedoids", "distance": "cosin"}, "unknown distance 'cosin'; did you mean 'cosine'?"),
    ({"cluster": "hierarchical", "linkage": "wards"}, "unknown linkage 'wards'; did you mean 'ward'?"),
    ({"cluster": "hierarchical", "linkage": "ward", "distance": "cosine"}, "speaks of means"),
    ({"linkage": "ward"}, "`--linkage` has no effect on `--cluster kmeans`"),
    ({"distance": "cosine"}, "take kmedoids, hierarchical, dbscan"),
    ({"cluster": "dbscan", "clusters": "3"}, "`--clusters` has no effect on `--cluster dbscan`"),
    ({"reduce": "pca", "clusters": "3"}, "`--clusters` has no effect without `--cluster`"),
    ({"cluster": "dbscan", "eps": -1.0}, "`--eps` must be above 0 and finite, but is -1"),
    ({"cluster": "dbscan", "eps": float("inf")}, "`--eps` must be above 0 and finite, but is inf"),
    ({"cluster": "dbscan", "eps": float("nan")}, "`--eps` must be above 0 and finite, but is nan"),
    ({"cluster": "dbscan", "min_samples": 0}, "`--min-samples` must be above 0 and finite, but is 0"),
    ({"cluster": "kmeans", "components": 2}, "`--components` has no effect without `--reduce`"),
    ({"components": 0}, "`--components` must be at least 1, but is 0"),
    ({"clusters": "0"}, "`--clusters` must be at least 1, but is 0"),
    ({"seed": -1}, "`--seed` must be from 0"),
])  # fmt: skip
def test_what_is_wrong_or_has_no_effect_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(**given)
    assert message in str(caught.value)


def test_a_wrong_option_is_refused_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom zoo.cli.explore import explore\n"
        "try: explore(['movie_reviews', '--reduce', 'pcs'])\nexcept ValueError: pass\n"
        "assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
