"""The engines that come with nlpsuite: ``local`` processes and a ``ray`` cluster."""
