from hypothesis import given
from hypothesis import strategies as st

from wsicomp.geometry import Mpp, Region, Size, TileGrid, TileIndex

sides = st.integers(1, 700)
tiles = st.sampled_from([16, 48, 240, 256])


@given(sides, sides, tiles, tiles)
def test_the_tiles_of_a_grid_cover_the_level_exactly_once(width, height, tile_width, tile_height):
    grid = TileGrid(Size(width, height), Size(tile_width, tile_height))
    regions = [grid.region(index.column, index.row) for index in grid.raster(0)]
    assert len(regions) == grid.count
    assert sum(region.width * region.height for region in regions) == width * height
    assert all(region.width > 0 and region.height > 0 for region in regions)
    assert max(region.x + region.width for region in regions) == width
    assert max(region.y + region.height for region in regions) == height


def test_raster_order_goes_row_by_row():
    grid = TileGrid(Size(500, 300), Size(256, 256))
    assert list(grid.raster(3)) == [
        TileIndex(3, 0, 0),
        TileIndex(3, 1, 0),
        TileIndex(3, 0, 1),
        TileIndex(3, 1, 1),
    ]


def test_size_and_shape_are_the_two_orders():
    assert Size(640, 480).shape == (480, 640)
    assert str(Size(640, 480)) == "640 x 480"
    assert Region(1, 2, 3, 4).size == Size(3, 4)


def test_a_reduced_size_is_never_empty():
    assert Size(5, 1).reduced(4) == Size(1, 1)


def test_mean_mpp_is_between_both_directions():
    assert Mpp(0.25, 0.35).mean == 0.3


def test_a_tile_index_reads_as_people_say_it():
    assert str(TileIndex(2, 14, 3)) == "level 2 tile (14, 3)"
