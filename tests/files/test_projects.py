"""Projects: made, opened, painted, regridded; read while written; refused with a way out."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import (
    BlockSegError,
    ImageError,
    LabelError,
    ProjectError,
    ProjectLockedError,
)
from napari_blockseg.core.labels import Changes, diff
from napari_blockseg.files.blocklabels import read_block_labels
from napari_blockseg.files.journal import read_journal
from napari_blockseg.files.project import Project

RNG = np.random.default_rng(0)


def write_image(path, shape=(100, 70, 3), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a", "b", "c")):
        write_image(tmp_path / "images" / f"{name}.png", seed=seed)
    return tmp_path


@pytest.fixture
def project(folder):
    with Project.create(folder / "p.blockseg", [folder / "images"], ["u", "v", "w"]) as project:
        yield project


def paint(project, image_id, cells, value, op="paint"):
    index = np.array(cells)
    old = project.load_labels(image_id).values[tuple(index.T)]
    new = np.full(len(index), value)
    return project.record(image_id, Changes(index, old, new), op)


def paint_randomly(project, seed=0):
    rng = np.random.default_rng(seed)
    for image_id in project.image_ids:
        labels = project.load_labels(image_id)
        values = rng.integers(0, len(project.classes) + 1, labels.values.shape)
        project.record(image_id, diff(labels.values, values.astype(np.uint8)), "paint")


def grids(project):
    return {one: project.load_labels(one) for one in project.image_ids}


class TestCreate:
    def test_lists_what_it_skips(self, folder):
        (folder / "images" / "notes.txt").write_text("hello")
        (folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
        (folder / "images" / ".hidden").write_text("")
        with Project.create(folder / "p", [folder / "images"], ["u"]) as project:
            assert project.image_ids == ["a", "b", "c"]
            assert sorted(path.name for path, _ in project.skipped) == ["broken.png", "notes.txt"]
            assert project.problems == {}

    def test_nothing_is_left_behind_when_it_fails(self, folder):
        (folder / "x.txt").write_text("")
        for images in ([folder / "x.txt"], [folder / "images", folder / "none.png"]):
            with pytest.raises(ImageError):
                Project.create(folder / "p", images, ["u"])
        (folder / "empty").mkdir()
        none = r"no readable image in .*: there is no file in there\. Give a folder"
        with pytest.raises(ImageError, match=none):
            Project.create(folder / "p", [folder / "empty"], ["u"])
        with pytest.raises(ImageError, match=r'^Got axes "QQ"; expected'):
            Project.create(folder / "p", [folder / "images"], ["u"], axes="QQ")
        for classes, block in ((["u", "u"], 16), ([], 16), (["u"], 0), (["u"], 101)):
            with pytest.raises(LabelError):
                Project.create(folder / "p", [folder / "images"], classes, block)
        assert sorted(one.name for one in folder.iterdir()) == ["empty", "images", "x.txt"]

    def test_blocks_may_be_as_large_as_the_largest_image(self, folder):
        write_image(folder / "images" / "small.png", shape=(20, 90))
        with pytest.raises(LabelError, match=r"blocks of 101 .* is 100 x 70\. .* at most 100"):
            Project.create(folder / "p", [folder / "images"], ["u"], block=101)
        with Project.create(folder / "p", [folder / "images"], ["u"], block=100) as project:
            assert project.grid("small").shape == (1, 1)

    def test_what_exists_is_not_touched(self, folder):
        (folder / "p").mkdir()
        with pytest.raises(ProjectError, match="exists already"):
            Project.create(folder / "p", [folder / "images"], ["u"])

    def test_stems_that_repeat_get_different_ids(self, folder):
        write_image(folder / "more" / "A.png")
        write_image(folder / "more" / "b.tif")
        images = [folder / "images", folder / "more", folder / "images" / "a.png"]
        with Project.create(folder / "p", images, ["u"]) as project:
            assert project.image_ids == ["a", "b", "c", "more_A", "more_b"]
            write_image(folder / "deep" / "more" / "a.png")
            assert project.add_images([folder / "deep" / "more"]) == ["a_2"]
            assert project.add_images([folder / "more"]) == []
            assert len(project.skipped) == 2

    def test_folder_and_images_may_move_together(self, folder, tmp_path_factory):
        with Project.create(folder / "p", [folder / "images"], ["u"]) as project:
            assert project.spec.images[0].path == "../images/a.png"
        new = tmp_path_factory.mktemp("moved") / "here"
        shutil.move(folder, new)
        moved = Project.open(new / "p")
        assert moved.problems == {}
        assert moved.load_image("a").pixels.shape == (100, 70, 3)


class TestPainting:
    def test_a_record_is_on_disk_at_once(self, project):
        seq = paint(project, "a", [(0, 0), (6, 4)], 2)
        records = read_journal(project.root / "journal" / "a.jsonl")
        assert records[-1].seq == seq
        assert records[-1].new == (2, 2)
        other = Project.open(project.root)
        assert other.load_labels("a") == project.load_labels("a")
        assert other.load_labels("a").values[6, 4] == 2
        assert other.load_labels("b").n_labelled == 0

    def test_nothing_new_is_no_record(self, project):
        seq = paint(project, "a", [(0, 0)], 2)
        assert paint(project, "a", [(0, 0)], 2) == seq

    def test_old_values_are_those_on_disk(self, project):
        paint(project, "a", [(0, 0)], 2)
        wrong = Changes(np.array([[0, 0]]), np.array([3]), np.array([1]))
        project.record("a", wrong, "paint")
        assert read_journal(project.root / "journal" / "a.jsonl")[-1].old == (2,)

    def test_save_puts_everything_into_the_labels_file(self, project):
        seq = paint(project, "a", [(1, 1)], 3)
        project.save_labels("a")
        labels, saved = read_block_labels(project.root / "labels" / "a.blocks.tif")
        assert (saved, labels) == (seq, project.load_labels("a"))

    def test_save_of_other_labels_is_journalled(self, project):
        paint(project, "a", [(1, 1)], 3)
        labels = project.load_labels("a")
        project.save_labels("a", labels.with_values(labels.values * 0 + 1), op="fill")
        last = read_journal(project.root / "journal" / "a.jsonl")[-1]
        assert (last.op, len(last.cells)) == ("fill", 35)

    def test_closing_saves(self, folder):
        with Project.create(folder / "p", [folder / "images"], ["u"]) as project:
            paint(project, "a", [(1, 1)], 1)
            labels = project.load_labels("a")
        assert read_block_labels(folder / "p" / "labels" / "a.blocks.tif")[0] == labels
        assert not (folder / "p" / "lock.json").exists()

    @pytest.mark.parametrize(("cell", "value"), [((7, 0), 1), ((-1, 0), 1), ((0, 0), 4)])
    def test_cells_outside_and_values_without_class_are_refused(self, project, cell, value):
        bad = Changes(np.array([cell]), np.array([0]), np.array([value]))
        with pytest.raises(LabelError):
            project.record("a", bad, "paint")
        assert project.load_labels("a").n_labelled == 0

    def test_more_images_than_are_kept_open(self, tmp_path):
        for i in range(20):
            write_image(tmp_path / "images" / f"{i:02}.png", (20, 20), i)
        with Project.create(tmp_path / "p", [tmp_path / "images"], ["u"]) as project:
            for _ in range(2):
                for image_id in project.image_ids:
                    paint(project, image_id, [(0, 1)], 1)
                    paint(project, image_id, [(0, 1)], 0, "erase")
            assert len(project._store._writers) <= 17
            assert all(one.n_labelled == 0 for one in grids(project).values())
        again = Project.open(tmp_path / "p")
        assert [len(read_journal(p)) for p in sorted((again.root / "journal").iterdir())] == [
            5
        ] * 20

    def test_many_threads(self, project):
        def work(col):
            for row in range(7):
                paint(project, "a", [(row, col)], 1)

        threads = [threading.Thread(target=work, args=(col,)) for col in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (project.load_labels("a").values == 1).all()
        seqs = [one.seq for one in read_journal(project.root / "journal" / "a.jsonl")]
        assert seqs == list(range(1, 37))

    def test_a_reader_never_sees_half_a_change(self, project):
        """Whole-grid fills of one value: every grid a reader gets holds one value."""
        done = threading.Event()
        seen, errors = set(), []

        def read():
            while not done.is_set():
                try:
                    values = Project.open(project.root).load_labels("a").values
                except BlockSegError as error:
                    errors.append(error)
                    return
                seen.add(tuple(np.unique(values).tolist()))

        reader = threading.Thread(target=read)
        reader.start()
        everywhere = np.argwhere(np.ones((7, 5)))
        for i in range(120):
            paint(project, "a", everywhere, 1 + i % 3, "fill")
            if i % 3 == 0:
                project.save_labels("a")
        done.set()
        reader.join()
        assert errors == []
        assert seen <= {(0,), (1,), (2,), (3,)}


def full_disk(*_args, **_kwargs):
    raise OSError(28, "No space left on device")


class TestDiskThatFailsForAWhile:
    @pytest.fixture
    def wanted(self, project):
        labels = project.load_labels("a")
        values = labels.values.copy()
        values[2, 3] = 2
        return labels.with_values(values)

    @pytest.fixture
    def failing(self, project, wanted):
        """A project on whose full disk labels were saved in vain."""
        paint(project, "a", [(1, 1)], 1)
        both = np.maximum(wanted.values, project.load_labels("a").values)
        wanted = wanted.with_values(both)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("napari_blockseg.files.labelstore.JournalWriter.append", full_disk)
            patch.setattr("napari_blockseg.files.labelstore.write_block_labels", full_disk)
            with pytest.raises(OSError, match="space"):
                project.save_labels("a", wanted)
            yield project, wanted, patch

    def test_what_was_not_saved_is_kept_and_saved_later(self, failing):
        project, wanted, patch = failing
        assert project.unsaved == ["a"]
        with pytest.raises(OSError, match="space"):
            project.save_again()
        patch.undo()
        project.save_again()
        assert project.unsaved == []
        assert Project.open(project.root).load_labels("a") == wanted

    def test_nobody_builds_on_older_labels_meanwhile(self, failing):
        project, wanted, patch = failing
        for attempt in (
            lambda: project.load_labels("a"),
            lambda: paint(project, "a", [(0, 0)], 1),
            lambda: project.set_block(8),
            lambda: project.set_classes(["v"], {1: 0, 2: 1, 3: 1}),
        ):
            with pytest.raises(OSError, match="space"):
                attempt()
        assert project.block == 16
        patch.undo()
        assert project.load_labels("a") == wanted

    def test_closing_tries_once_more(self, failing):
        project, wanted, patch = failing
        patch.undo()
        project.close()
        assert Project.open(project.root).load_labels("a") == wanted

    def test_closing_says_what_is_lost_and_unlocks(self, failing):
        project, _, patch = failing
        with pytest.raises(ProjectError, match='painted on "a" could not be written'):
            project.close()
        patch.undo()
        with Project.open(project.root, write=True) as again:
            assert again.load_labels("a").values[1, 1] == 1

    @pytest.fixture
    def fourth(self, project):
        """A project that got a class while the disk took nothing; what took nothing; the class."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("napari_blockseg.files.project.write_spec", full_disk)
            with pytest.raises(OSError, match="space"):
                project.set_classes([*project.classes, "fourth"])
            yield project, patch

    def test_a_class_that_was_not_saved_is_kept_and_saved_first(self, fourth):
        project, patch = fourth
        assert not project.all_saved
        assert [info.name for info in project.classes][3:] == ["fourth"]
        with pytest.raises(OSError, match="space"):
            paint(project, "a", [(1, 1)], 4)
        patch.undo()
        paint(project, "a", [(1, 1)], 4)
        assert project.all_saved
        again = Project.open(project.root)
        assert [info.name for info in again.classes][3:] == ["fourth"]
        assert again.load_labels("a").values[1, 1] == 4

    def test_blocks_of_a_class_that_was_not_saved_are_kept_with_it(self, fourth):
        project, patch = fourth
        labels = project.load_labels("a")
        values = labels.values.copy()
        values[2, 3] = 4
        with pytest.raises(OSError, match="space"):
            project.save_labels("a", labels.with_values(values))
        patch.undo()
        project.save_again()
        assert project.all_saved
        assert Project.open(project.root).load_labels("a").values[2, 3] == 4

    def test_another_change_of_classes_builds_on_the_one_that_waits(self, fourth):
        project, patch = fourth
        names = [info.name for info in project.classes]
        with pytest.raises(OSError, match="space"):
            project.set_classes([names[0], *names[2:]], {2: 0, 3: 2, 4: 3})
        assert [info.name for info in project.classes] == names
        patch.undo()
        paint(project, "a", [(1, 1)], 4)
        project.set_classes([names[0], *names[2:]], {2: 0, 3: 2, 4: 3})
        assert project.load_labels("a").values[1, 1] == 3

    def test_closing_says_that_classes_are_lost(self, fourth):
        project, _ = fourth
        with pytest.raises(ProjectError, match="changes of classes could not be written"):
            project.close()

    def test_labels_that_another_process_took_over_are_not_kept(self, project, wanted):
        with Project.open(project.root, write=True, take_over=True):
            with pytest.raises(ProjectLockedError):
                project.save_labels("a", wanted)
            assert project.unsaved == []

    @pytest.mark.parametrize("part", ["append", "__init__"])
    def test_the_journal_alone_holds_all_of_it(self, project, wanted, monkeypatch, part):
        with monkeypatch.context() as patch:
            patch.setattr(f"napari_blockseg.files.labelstore.JournalWriter.{part}", full_disk)
            with pytest.raises(OSError, match="space"):
                paint(project, "a", [(1, 1)], 1)
        project.save_labels("a", wanted)
        paint(project, "a", [(0, 0)], 3)
        project.close()
        project._store.labels_path("a").unlink()
        again = Project.open(project.root)
        assert again.problems == {}
        assert again.load_labels("a").values[[2, 0], [3, 0]].tolist() == [2, 3]

    def test_a_record_that_was_half_written_is_not_glued_to(self, project, monkeypatch):
        paint(project, "a", [(1, 1)], 1)

        def torn(writer, record):
            writer._file.write(record.line()[:20])
            full_disk()

        with monkeypatch.context() as patch:
            patch.setattr("napari_blockseg.files.labelstore.JournalWriter.append", torn)
            with pytest.raises(OSError, match="space"):
                paint(project, "a", [(2, 2)], 1)
        paint(project, "a", [(3, 3)], 2)
        again = Project.open(project.root)
        assert again.problems == {}
        assert again.load_labels("a").values[3, 3] == 2


class TestStacksAndArrays:
    def test_a_stack_keeps_its_leading_axes(self, tmp_path):
        with Project.create(tmp_path / "p", [], ["u", "v"], block=10) as project:
            stack = RNG.integers(0, 256, (3, 40, 30), dtype=np.uint8)
            image_id = project.add_array("my stack", stack, "ZYX")
            np.testing.assert_array_equal(project.load_image(image_id).pixels[..., 0], stack)
            assert project.grid(image_id).shape == (3, 4, 3)
            one = Changes(np.array([[1, 2]]), np.array([0]), np.array([2]))
            project.record(image_id, one, "paint", slice=(2,))
            assert project.load_labels(image_id).values[2, 1, 2] == 2
        again = Project.open(tmp_path / "p")
        assert again.load_labels(image_id).n_labelled == 1

    @pytest.mark.parametrize(
        ("shape", "axes", "dtype"),
        [((20, 30, 3), "YXC", "uint8"), ((2, 20, 30), "CYX", "uint16"), ((20, 30, 5), "YXC", "f4"),
         ((20, 30), "YX", "bool"), ((20, 30, 3), "YXC", "uint16"), ((4, 3, 20, 30), "TZYX", "u1")],
    )  # fmt: skip
    def test_arrays_come_back_equal(self, tmp_path, shape, axes, dtype):
        array = (RNG.integers(0, 2 if dtype == "bool" else 200, shape)).astype(dtype)
        with Project.create(tmp_path / "p", [], ["u"]) as project:
            image_id = project.add_array("x/y?", array, axes)
            pixels = project.load_image(image_id).pixels
        expected = array.astype(np.uint8) * 255 if dtype == "bool" else array
        if "C" in axes:
            expected = np.moveaxis(expected, axes.index("C"), -1)
        np.testing.assert_array_equal(pixels.squeeze(), expected.squeeze())
        assert pixels.dtype == expected.dtype

    def test_names_of_arrays_may_repeat(self, tmp_path):
        array = np.zeros((20, 20), np.uint8)
        with Project.create(tmp_path / "p", [], ["u"]) as project:
            ids = [project.add_array(name, array, "YX") for name in ("a", "A", "..", "a")]
            assert len({one.casefold() for one in ids}) == 4
            assert ids[0] == "a"

    def test_wrong_axes_are_refused(self, tmp_path):
        with (
            Project.create(tmp_path / "p", [], ["u"]) as project,
            pytest.raises(ImageError, match="axes"),
        ):
            project.add_array("a", np.zeros((20, 20, 3)), "YX")


class TestRegrid:
    def test_finer_and_back_is_exact(self, project):
        paint_randomly(project)
        before = grids(project)
        summary = project.set_block(8)
        assert (summary.images, summary.changed_pixels) == (3, 0)
        assert project.block == 8
        for image_id, labels in grids(project).items():
            np.testing.assert_array_equal(labels.to_mask(), before[image_id].to_mask())
        assert project.undo_regrid().restored == ("a", "b", "c")
        assert grids(project) == before
        assert project.block == 16

    def test_undo_of_a_coarser_grid_restores_exactly(self, project):
        paint_randomly(project)
        before = grids(project)
        preview = project.set_block(32, preview=True)
        assert grids(project) == before
        summary = project.set_block(32)
        assert preview == summary
        assert summary.changed_pixels > 0
        middle = grids(project)
        project.set_block(7)
        project.undo_regrid()
        assert grids(project) == middle
        project.undo_regrid()
        assert grids(project) == before
        with pytest.raises(ProjectError, match="nothing to undo"):
            project.undo_regrid()
        assert grids(Project.open(project.root)) == before

    def test_what_was_painted_since_is_kept(self, project):
        paint_randomly(project)
        before = grids(project)
        project.set_block(8)
        paint(project, "b", [(0, 0), (0, 1), (1, 0), (1, 1)], 3)
        summary = project.undo_regrid()
        assert summary.restored == ("a", "c")
        after = grids(project)
        assert after["a"] == before["a"]
        assert after["b"].values[0, 0] == 3
        np.testing.assert_array_equal(after["b"].values[1:], before["b"].values[1:])

    def test_labels_read_before_it_are_refused(self, project):
        paint_randomly(project)
        old = project.load_labels("a")
        project.set_block(8)
        kept = grids(project)
        with pytest.raises(LabelError, match=r"blocks of 16 px.*blocks of 8 px"):
            project.save_labels("a", old)
        assert grids(project) == kept

    def test_painting_taken_back_counts_as_nothing(self, project):
        paint_randomly(project)
        before = grids(project)
        project.set_block(32)
        old = int(project.load_labels("a").values[0, 0])
        paint(project, "a", [(0, 0)], old % 3 + 1)
        paint(project, "a", [(0, 0)], old, "undo")
        assert "a" in project.undo_regrid().restored
        assert grids(project) == before


class TestClasses:
    def test_a_class_is_deleted_with_its_blocks_or_moved(self, project):
        paint_randomly(project)
        before = grids(project)
        with pytest.raises(LabelError, match=r'blocks of "w" \(value 3\)'):
            project.set_classes(["u", "v"])
        assert grids(project) == before
        project.set_classes(["v", "w"], {1: 0, 2: 1, 3: 2})
        for image_id, labels in grids(project).items():
            expected = np.array([0, 0, 1, 2])[before[image_id].values]
            np.testing.assert_array_equal(labels.values, expected)
        assert [one.name for one in project.classes] == ["v", "w"]
        assert grids(Project.open(project.root)) == grids(project)

    def test_more_classes_and_other_names(self, project):
        paint_randomly(project)
        before = grids(project)
        project.set_classes(make_classes(["x", "y", "z", "new"]))
        assert grids(project) == before
        paint(project, "a", [(0, 0)], 4)

    def test_more_than_255_classes(self, project):
        project.set_classes([f"class {i}" for i in range(300)])
        paint(project, "a", [(0, 0)], 299)
        project.save_labels("a")
        assert Project.open(project.root).load_labels("a").values[0, 0] == 299


class TestProblems:
    def test_missing_and_moved_image(self, project):
        path = project.image_path("a")
        project.close()
        path.rename(project.root.parent / "a.png")
        with Project.open(project.root, write=True) as again:
            assert set(again.problems) == {"a"}
            assert str(path) in again.problems["a"]
            assert str(project.root / "project.json") in again.problems["a"]
            assert str(project.root.parent / "a.png") in again.problems["a"]
            with pytest.raises(ProjectError, match="is not at"):
                again.load_image("a")
            assert again.load_image("b").pixels.shape == (100, 70, 3)
            paint(again, "a", [(0, 0)], 1)
            again.relink_image("a", project.root.parent / "a.png")
            assert again.problems == {}
            again.load_image("a")
        assert Project.open(project.root).problems == {}

    def test_what_is_advised_for_a_moved_image_helps(self, project):
        project.close()
        project.image_path("a").rename(project.root.parent / "here.png")
        assert '"path" in' in Project.open(project.root).problems["a"]
        path = project.root / "project.json"
        path.write_text(path.read_text().replace("../images/a.png", "../here.png"))
        assert Project.open(project.root).problems == {}
        assert Project.open(project.root).load_image("a").pixels.shape == (100, 70, 3)

    def test_changed_image(self, project):
        path = project.image_path("a")
        write_image(path, seed=9)
        problems = project.check()
        assert str(path) in problems["a"]
        assert "accept_changed_image" in problems["a"]
        with pytest.raises(ProjectError, match="changed"):
            project.load_image("a")
        project.accept_changed_image("a")
        assert project.check() == {}
        write_image(path, (50, 50, 3))
        with pytest.raises(ProjectError, match="shape"):
            project.accept_changed_image("a")

    def test_a_touched_or_copied_image_has_not_changed(self, project):
        os.utime(project.image_path("a"), (1, 1))
        assert project.check() == {}
        project.load_image("a")

    def test_relink_to_another_image_is_refused(self, project):
        with pytest.raises(ProjectError, match="content"):
            project.relink_image("a", project.image_path("b"))

    def test_damaged_labels_do_not_close_the_rest(self, project):
        paint_randomly(project)
        kept = grids(project)
        project.close()
        path = project.root / "labels" / "a.blocks.tif"
        path.write_bytes(path.read_bytes()[:200])
        with Project.open(project.root, write=True) as again:
            assert set(again.problems) == {"a"}
            assert str(path) in again.problems["a"]
            with pytest.raises(ProjectError, match="damaged"):
                again.load_labels("a")
            with pytest.raises(ProjectError, match="damaged"):
                again.set_block(8)
            assert again.load_labels("b") == kept["b"]
            paint(again, "b", [(0, 0)], 1)
        assert path.stat().st_size == 200
        path.unlink()  # the way out that the message names
        assert Project.open(project.root).load_labels("a") == kept["a"]

    def test_newer_labels_are_left_alone(self, project):
        paint_randomly(project)
        project.close()
        path = project.root / "labels" / "a.blocks.tif"
        newer = path.read_bytes().replace(b'"format_version": 1', b'"format_version": 7')
        path.write_bytes(newer)
        with Project.open(project.root, write=True) as again:
            assert "Upgrade" in again.problems["a"]
            with pytest.raises(ProjectError, match="Upgrade"):
                paint(again, "a", [(0, 0)], 1)
        assert path.read_bytes() == newer

    def test_labels_of_another_image(self, project):
        paint_randomly(project)
        with Project.create(project.root.parent / "q", [], ["u", "v", "w"]) as other:
            other.add_array("a", np.zeros((64, 64), np.uint8), "YX")
        project.close()
        shutil.copy(project.root / "labels" / "a.blocks.tif", other.root / "labels")
        assert "(100, 70)" in Project.open(other.root).problems["a"]

    def test_damaged_project_file(self, project):
        path = project.root / "project.json"
        text = path.read_text()
        for damaged in (text[:100], "", "[]", text.replace('"block": 16', '"block": "x"')):
            path.write_text(damaged)
            with pytest.raises(ProjectError, match=r"project\.json.*damaged.*backup"):
                Project.open(project.root)
        path.write_text(text.replace('"format_version": 1', '"format_version": 2'))
        with pytest.raises(ProjectError, match=r"project\.json.*version 2.*Upgrade"):
            Project.open(project.root)
        path.unlink()
        with pytest.raises(ProjectError, match="blockseg new"):
            Project.open(project.root)

    def test_damaged_journal_line(self, project):
        for col, value in enumerate((1, 2, 3, 1)):
            paint(project, "a", [(0, col)], value)
        journal = project.root / "journal" / "a.jsonl"
        project._abandon()  # as if killed: only the journal holds it
        lines = journal.read_bytes().split(b"\n")
        lines[3] = b"garbage"
        journal.write_bytes(b"\n".join(lines))
        reader = Project.open(project.root)
        assert reader.problems == {}
        assert "a.jsonl" in reader.damaged_journals["a"]
        assert "line 4" in reader.damaged_journals["a"]
        assert reader.load_labels("a").values[0].tolist() == [1, 2, 0, 0, 0]
        with Project.open(project.root, write=True) as again:
            assert "line 4" in again.damaged_journals["a"]
            paint(again, "a", [(5, 0)], 2)
            assert again.damaged_journals == {}
            assert b"garbage" in (journal.parent / "a.damaged-1.jsonl").read_bytes()
        final = Project.open(project.root)
        assert final.problems == final.damaged_journals == {}
        assert final.load_labels("a").values[0].tolist() == [1, 2, 0, 0, 0]
        assert final.load_labels("a").values[5, 0] == 2

    def test_unknown_image(self, project):
        with pytest.raises(ProjectError, match='no image "z"'):
            project.load_labels("z")


class TestDamage:
    def test_one_damaged_image_stops_no_import_of_a_folder(self, folder, monkeypatch):
        path = folder / "images" / "d.tif"
        tifffile.imwrite(path, np.zeros((32, 32), np.uint8), tile=(16, 16), compression="zlib")
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tiff.pages.first.tags["TileWidth"].overwrite(0)
        with Project.create(folder / "p", [folder / "images"], ["u"]) as project:
            assert project.image_ids == ["a", "b", "c"]
            assert [one.name for one, _ in project.skipped] == ["d.tif"]

    def test_one_damaged_journal_stops_no_opening(self, project, monkeypatch):
        monkeypatch.setattr("napari_blockseg.files.journal._PACK_ABOVE", 0)
        paint(project, "a", [(1, 1)], 1)
        paint(project, "a", [(2, 2)], 1)
        root, journal = project.root, project._store.journal_path("a")
        project.close()
        project._store.labels_path("a").unlink()
        lines = journal.read_text().splitlines(keepends=True)
        lines[2] = lines[2].replace('"dtype":"<i4"', '"dtype":"|_1"')
        journal.write_text("".join(lines))
        with Project.open(root, write=True) as again:
            assert list(again.damaged_journals) == ["a"]
            assert again.load_labels("a").values[1, 1] == 1

    def test_a_regrid_that_was_damaged_is_undone_by_the_rules(self, project):
        paint(project, "a", [(1, 1)], 1)
        project.set_block(8)
        root, journal = project.root, project._store.journal_path("a")
        project.close()
        head, last = journal.read_text().rsplit('"before":', 1)
        journal.write_text(f'{head}"before":{last.replace("|u1", "|_1", 1)}')
        with Project.open(root, write=True) as again:
            assert again.undo_regrid().restored == ()
            assert again.load_labels("a").values[1, 1] == 1


class TestLocking:
    def test_readers_need_no_lock_and_may_not_write(self, project):
        reader = Project.open(project.root)
        with pytest.raises(ProjectError, match="reading only"):
            paint(reader, "a", [(0, 0)], 1)
        with pytest.raises(ProjectLockedError):
            Project.open(project.root, write=True)

    def test_who_was_taken_over_writes_nothing_more(self, project):
        paint(project, "a", [(0, 0)], 1)
        with Project.open(project.root, write=True, take_over=True) as other:
            paint(other, "a", [(0, 1)], 2)
            with pytest.raises(ProjectLockedError):
                paint(project, "a", [(0, 2)], 3)
            project.close()
            paint(other, "a", [(0, 3)], 3)
            labels = other.load_labels("a")
        assert Project.open(project.root).load_labels("a") == labels
        assert labels.values[0].tolist() == [1, 2, 0, 3, 0]

    def test_project_json_is_readable_by_others(self, project):
        spec = json.loads((project.root / "project.json").read_text())
        assert spec["format_version"] == 1
        assert spec["classes"][0]["name"] == "u"
        assert spec["images"][0]["id"] == "a"
        assert spec["block"] == 16
