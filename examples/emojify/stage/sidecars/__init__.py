"""What stands beside payment and receipts on the VM: Mooring, or one of the programs whose place it takes."""

from stage.sidecars.consul import ConsulProxy
from stage.sidecars.envoy import Envoy
from stage.sidecars.mooring import Mooring

KINDS = {one.kind: one for one in (Mooring, ConsulProxy, Envoy)}
