"""From texts or records to trained weights. Only the loop needs torch; the data side is numpy."""
