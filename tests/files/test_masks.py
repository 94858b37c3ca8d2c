"""Dense masks: by stem and class name in, by id out, and nothing unknown slips through."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_blockseg.core.classes import ClassInfo, make_classes
from napari_blockseg.core.errors import LabelError
from napari_blockseg.files.images import inspect_image
from napari_blockseg.files.masks import (
    class_table,
    common_classes,
    find_classes_json,
    match_masks,
    read_classes_json,
    read_mask,
    read_values,
    write_classes_json,
    write_mask,
    write_values,
)

ROWS = [{"id": 0, "name": "sky", "color": [1, 2, 3]}, {"id": 7, "name": "road"}]


def write_table(folder, rows=ROWS, **more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.json").write_text(json.dumps({"classes": rows, "x": 1, **more}))
    return folder


class TestClassesJson:
    def test_ids_names_and_order(self, tmp_path):
        table = find_classes_json(write_table(tmp_path, ignore_id=9))
        assert [(one.value, one.id, one.name) for one in table.classes] == [
            (1, 0, "sky"),
            (2, 7, "road"),
        ]
        assert table.classes[0].color == (1, 2, 3)
        assert table.ignore_id == 9

    def test_looked_for_up_to_three_folders_above(self, tmp_path):
        write_table(tmp_path)
        deep = tmp_path / "a" / "b" / "c"
        (deep / "d").mkdir(parents=True)
        assert find_classes_json(deep).ignore_id == 255
        with pytest.raises(LabelError, match=r"no classes\.json.*ignore_id"):
            find_classes_json(deep / "d")
        write_table(deep, [{"id": 1, "name": "nearer"}])
        assert find_classes_json(deep / "d").names == ["nearer"]

    @pytest.mark.parametrize(
        ("rows", "more"),
        [
            ([], {}),
            ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], {}),
            ([{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], {}),
            ([{"id": "1", "name": "a"}], {}),
            ([{"id": -1, "name": "a"}], {}),
            ([{"name": "a"}], {}),
            ([{"id": 1}], {}),
            ([{"id": 3, "name": "a"}], {"ignore_id": 3}),
            ([{"id": 3, "name": "a"}], {"ignore_id": "none"}),
            ("a,b", {}),
        ],
    )
    def test_bad_ones_are_named(self, tmp_path, rows, more):
        with pytest.raises(LabelError):
            find_classes_json(write_table(tmp_path, rows, **more))

    def test_damaged(self, tmp_path):
        (tmp_path / "classes.json").write_text('{"classes": [')
        with pytest.raises(LabelError, match=r"classes\.json cannot be used"):
            read_classes_json(tmp_path / "classes.json")

    def test_errors_show_a_file_that_can_be_used(self, tmp_path):
        path = tmp_path / "classes.json"
        with pytest.raises(LabelError, match="does not exist") as missing:
            read_classes_json(path)
        with pytest.raises(LabelError, match=r"no classes\.json in") as none_found:
            find_classes_json(tmp_path / "a" / "b" / "c")
        path.write_text("{}")
        with pytest.raises(LabelError, match="mend it") as damaged:
            read_classes_json(path)
        for caught in (missing, none_found, damaged):
            said = str(caught.value)
            path.write_text(said[said.index("{") : said.rindex("}") + 1])
            assert read_classes_json(path).names == ["sky"]

    def test_255_may_be_a_class_when_nothing_says_that_it_is_void(self, tmp_path):
        table = find_classes_json(write_table(tmp_path, [{"id": 255, "name": "cell"}]))
        assert table.ignore_id is None

    @pytest.mark.parametrize(
        ("n_classes", "ignore"), [(2, 255), (254, 255), (255, 65535), (300, 65535)]
    )
    def test_void_never_collides_with_a_class(self, tmp_path, n_classes, ignore):
        classes = make_classes([f"c{i}" for i in range(n_classes)])
        write_classes_json(tmp_path, classes)
        table = find_classes_json(tmp_path)
        assert [one.id for one in table.classes] == list(range(1, n_classes + 1))
        assert table.ignore_id == class_table(classes).ignore_id == ignore


class TestMatching:
    def test_nothing_in_common_names_both_sides(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        with pytest.raises(LabelError, match=r"The masks know .* sky, road; the project has x\."):
            common_classes(table, make_classes(["x"]))
        with pytest.raises(LabelError, match=r"The net knows .* sky, road; the masks have x\."):
            common_classes(table, make_classes(["x"]), "net knows", "masks have")

    def test_by_stem(self, tmp_path):
        for name in ("a.png", "b.tif", "c.d.ome.tif", "extra.png", "notes.txt", ".hidden.png"):
            (tmp_path / name).touch()
        matched, unmatched = match_masks(["a", "b", "c.d", "z"], tmp_path)
        assert {stem: path.name for stem, path in matched.items()} == {
            "a": "a.png",
            "b": "b.tif",
            "c.d": "c.d.ome.tif",
        }
        assert [path.name for path in unmatched] == ["extra.png"]

    def test_two_masks_of_one_image_no_mask_no_folder(self, tmp_path):
        with pytest.raises(LabelError, match="no label image"):
            match_masks(["a"], tmp_path)
        with pytest.raises(LabelError, match="not a folder"):
            match_masks(["a"], tmp_path / "none")
        (tmp_path / "a.png").touch()
        (tmp_path / "a.tif").touch()
        with pytest.raises(LabelError, match="one image"):
            match_masks(["a"], tmp_path)


class TestReading:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_ids_become_values_and_ignore_becomes_void(self, tmp_path, suffix, dtype):
        table = find_classes_json(write_table(tmp_path))
        ids = np.array([[0, 7, 255], [7, 7, 0]], dtype)
        path = tmp_path / f"m.{suffix}"
        if suffix == "tif":
            tifffile.imwrite(path, ids)
        else:
            Image.fromarray(ids).save(path)
        np.testing.assert_array_equal(read_mask(path, table), [[1, 2, 0], [2, 2, 1]])

    def test_by_name_when_classes_are_given(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        Image.fromarray(np.array([[0, 7, 255]], np.uint8)).save(tmp_path / "m.png")
        classes = make_classes(["road", "tree"])
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png", table, classes), [[0, 1, 0]])

    def test_palette_indices_count(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        picture = Image.fromarray(np.array([[0, 7], [255, 7]], np.uint8)).convert("P")
        picture.putpalette(list(range(256)) * 3)
        indices = np.asarray(picture)
        picture.save(tmp_path / "m.png")
        expected = np.select([indices == 0, indices == 7], [1, 2], 0)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png", table), expected)

    def test_lzw_masks(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        Image.fromarray(np.full((20, 20), 7, np.uint8)).save(
            tmp_path / "m.tif", compression="tiff_lzw"
        )
        assert (read_mask(tmp_path / "m.tif", table) == 2).all()

    def test_negative_void(self, tmp_path):
        table = find_classes_json(write_table(tmp_path, ignore_id=-1))
        tifffile.imwrite(tmp_path / "m.tif", np.array([[-1, 0], [7, -1]], np.int16))
        np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", table), [[0, 1], [2, 0]])

    def test_unknown_values_are_listed(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        Image.fromarray(np.array([[0, 3, 254, 3]], np.uint8)).save(tmp_path / "m.png")
        with pytest.raises(LabelError, match=r"m\.png.*: 3, 254\..*\[0, 7\] and 255"):
            read_mask(tmp_path / "m.png", table)

    def test_what_is_no_label_image(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
        tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
        tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
        (tmp_path / "broken.png").write_bytes(b"\x89PNG")
        (tmp_path / "broken.tif").write_bytes(b"II*\0")
        for name in ("rgb.png", "rgb.tif", "float.tif", "broken.png", "broken.tif", "none.png"):
            with pytest.raises(LabelError, match=name):
                read_mask(tmp_path / name, table)

    def test_shape_of_the_image(self, tmp_path):
        table = find_classes_json(write_table(tmp_path))
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "m.png")
        assert read_mask(tmp_path / "m.png", table, shape=(4, 5)).shape == (4, 5)
        with pytest.raises(LabelError, match=r"\(4, 5\).*\(5, 4\)"):
            read_mask(tmp_path / "m.png", table, shape=(5, 4))


class TestWriting:
    @settings(max_examples=40, deadline=None)
    @given(
        ids=st.lists(st.integers(0, 65535), min_size=1, max_size=6, unique=True),
        suffix=st.sampled_from([".png", ".tif"]),
        seed=st.integers(0, 99),
    )
    def test_round_trip(self, tmp_path_factory, ids, suffix, seed):
        folder = tmp_path_factory.mktemp("masks")
        classes = [
            ClassInfo(value=i + 1, name=f"c{i}", color=(0, 0, 0), id=one)
            for i, one in enumerate(ids)
        ]
        mask = np.random.default_rng(seed).integers(0, len(ids) + 1, (7, 5))
        write_classes_json(folder, classes)
        path = write_mask(folder / f"m{suffix}", mask, classes)
        table = find_classes_json(folder)
        np.testing.assert_array_equal(read_mask(path, table), mask)
        raw = np.asarray(Image.open(path)) if suffix == ".png" else tifffile.imread(path)
        assert set(np.unique(raw)) <= {*ids, table.ignore_id}
        wide = max([*ids, table.ignore_id]) > 255
        assert raw.dtype == (np.uint16 if wide else np.uint8)

    def test_suffix_follows_the_image_and_dots_in_names_are_kept(self, tmp_path):
        classes = make_classes(["a"])
        mask = np.ones((4, 5), np.uint8)
        Image.fromarray(mask).save(tmp_path / "i.png")
        tifffile.imwrite(tmp_path / "i.tif", mask)
        png = write_mask(tmp_path / "v1.2", mask, classes, inspect_image(tmp_path / "i.png"))
        tif = write_mask(tmp_path / "v1.2", mask, classes, inspect_image(tmp_path / "i.tif"))
        assert (png.name, tif.name) == ("v1.2.png", "v1.2.tif")
        assert write_mask(tmp_path / "s", np.ones((2, 4, 5), int), classes).name == "s.tif"
        with pytest.raises(LabelError, match="stack"):
            write_mask(tmp_path / "s.png", np.ones((2, 4, 5), int), classes)

    @pytest.mark.parametrize("kind", ["imagej", "ome", "cm"])
    def test_pixel_size_and_unit_are_kept(self, tmp_path, kind):
        path = tmp_path / ("i.ome.tif" if kind == "ome" else "i.tif")
        image = np.zeros((20, 30), np.uint16)
        if kind == "imagej":
            meta = {"unit": "um"}
            tifffile.imwrite(path, image, imagej=True, resolution=(4.0, 2.0), metadata=meta)
        elif kind == "ome":
            meta = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
            tifffile.imwrite(path, image, metadata=meta)
        else:
            tifffile.imwrite(path, image, resolution=(4.0, 2.0), resolutionunit="centimeter")
        like = inspect_image(path)
        mask = np.random.default_rng(0).integers(0, 3, (20, 30))
        out = write_mask(tmp_path / "mask.tif", mask, make_classes(["a", "b"]), like)
        found = inspect_image(out)
        assert found.pixel_size == pytest.approx((0.5, 0.25))
        assert found.unit == like.unit
        ids = np.where(mask == 0, 255, mask)
        np.testing.assert_array_equal(tifffile.imread(out), ids)

    def test_a_stack_keeps_its_axes(self, tmp_path):
        path = tmp_path / "i.tif"
        meta = {"axes": "ZYX", "unit": "um"}
        image = np.zeros((3, 20, 30), np.uint8)
        tifffile.imwrite(path, image, imagej=True, resolution=(4.0, 4.0), metadata=meta)
        mask = np.random.default_rng(0).integers(1, 3, (3, 20, 30))
        out = write_mask(tmp_path / "mask", mask, make_classes(["a", "b"]), inspect_image(path))
        assert inspect_image(out).axes == "ZYX"
        np.testing.assert_array_equal(tifffile.imread(out), mask)

    def test_values_without_class_are_refused(self, tmp_path):
        with pytest.raises(LabelError, match="mask value 3"):
            write_mask(tmp_path / "m.png", np.full((4, 4), 3), make_classes(["a", "b"]))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("top", [3, 300])
    def test_project_values(self, tmp_path, top):
        mask = np.random.default_rng(0).integers(0, top + 1, (20, 30))
        write_values(tmp_path / "m.tif", mask)
        np.testing.assert_array_equal(read_values(tmp_path / "m.tif"), mask)
