"""Beam's answers about steps and options, remembered.

Beam inspects every step about nine times and parses the options anew whenever it looks at one,
which is a third of what the small pipelines of the tests take. Both answers stay the same.
"""

from types import MethodType
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate
from apache_beam.transforms.core import CallableWrapperDoFn, DoFn

Specs = tuple[set[Any], set[Any]]

_PIPELINES = 16  # whose options are remembered
_inspect, _look = userstate.get_dofn_specs, PipelineOptions.view_as
_specs: dict[type[DoFn], Specs] = {}
_views: dict[int, tuple[dict[str, Any], dict[type, Any]]] = {}


def _remembered_specs(step: DoFn) -> Specs:
    """A step's states and timers, which are its class'; a method given to `Map` has its own."""
    if isinstance(step, CallableWrapperDoFn) and isinstance(step.process, MethodType):
        return _inspect(step)
    if type(step) not in _specs:
        _specs[type(step)] = _inspect(step)
    states, timers = _specs[type(step)]
    return {*states}, {*timers}


def _remembered_view(options: PipelineOptions, kind: type[PipelineOptions]) -> Any:
    """A view of the options; views share their values, so that one of a kind is enough."""
    values = options._all_options
    if id(values) not in _views or _views[id(values)][0] is not values:
        if len(_views) == _PIPELINES:
            _views.clear()
        _views[id(values)] = values, {}
    views = _views[id(values)][1]
    if kind not in views:
        views[kind] = _look(options, kind)
    return views[kind]


userstate.get_dofn_specs = _remembered_specs
PipelineOptions.view_as = _remembered_view
