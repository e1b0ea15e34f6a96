"""What the viewer answers, by the addresses that `wsicomp.viewer.routes` lists."""
