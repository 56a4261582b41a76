"""Tables in the commands: train --target, and what evaluate and predict make of such a model."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import GUARD, one_line, results, run

import pynet
from pynet.commands import evaluate, info, predict, visualize
from pynet.commands.table_options import listed

FEW = ("--epochs", "3", "--hidden", "8")


def flowers(path: Path | str = "flowers.csv", rows: int = 150, header: bool = True, mark: str = ".") -> Path:
    """A table of three classes: numbers, one in ten missing, a column of texts, and a row counter that is no help."""
    random = np.random.RandomState(0)
    place = Path(path)
    separator = ";" if mark == "," else ","
    lines = [separator.join(["id", "length", "width", "colour", "kind"])] if header else []
    for i in range(rows):
        kind = i * 3 // rows
        length, width = kind + random.normal(0, 0.2), 10 - kind + random.normal(0, 0.2)
        fields = [
            str(i),
            "" if i % 10 == 0 else f"{length:.3f}",
            f"{width:.2f}",
            ("red", "blue")[kind > 1],
            "abc"[kind],
        ]
        lines.append(separator.join(fields).replace(".", mark))
    place.write_text("\n".join(lines) + "\n")
    return place


def prices(path: Path | str = "prices.csv", rows: int = 200) -> Path:
    random = np.random.RandomState(1)
    size, rooms = random.uniform(20, 200, rows), random.randint(1, 6, rows)
    price = 1000 * (3 * size + 20 * rooms + random.normal(0, 10, rows))
    lines = [f"{a:.1f},{b},{'yes' if b > 3 else 'no'},{p:.0f}" for a, b, p in zip(size, rooms, price, strict=True)]
    Path(path).write_text("\n".join(["size,rooms,large,price", *lines]) + "\n")
    return Path(path)


def predicted(*args: Any) -> list[dict[str, str]]:
    done = run(*args, command=predict)
    assert (done.status, done.err) == (0, "")
    return list(csv.DictReader(io.StringIO(done.out)))


# ---- train ----


def test_classes(folder: Path) -> None:
    flowers()
    found = results("--data", "flowers.csv", "--target", "kind")
    assert found["test_accuracy"] >= 0.95 and "test_r2" not in found
    assert found["net"] == "input(5) standardize dense(64) relu dense(32) relu dense(3) softmax"
    assert (found["train_samples"], found["test_samples"], len(found["epochs"])) == (120, 30, 40)
    done = run("--data", "flowers.csv", "--target", "kind", *FEW)
    for text in (
        "learns kind, 3 classes\n",
        "left out: id: it counts the rows\n",
        "5 values, of 3 columns\n",
        "3 epochs, batches of 32, adamw, learning rate 0.003, weight decay 3, loss cross_entropy",
        "classes a, b, c",
    ):
        assert text in done.out
    net = pynet.load("flowers.safetensors")
    assert net.classes == ["a", "b", "c"] and json.loads(net.meta["table"])["version"] == 1
    assert "inputs" not in net.meta
    facts = " ".join(run("flowers.safetensors", command=info).out.split())
    assert "table kind (classes) from length, width, colour data flowers.csv" in facts


def test_numbers(folder: Path) -> None:
    prices()
    found = results("--data", "prices.csv", "--target", "price")
    assert found["test_r2"] > 0.9 and found["test_rmse"] < 60_000 and "test_accuracy" not in found
    assert found["net"].endswith("dense(1) rescale")
    assert (found["train_samples"], len(found["epochs"])) == (160, 40)
    assert {"rmse", "r2", "val_rmse", "val_r2"} <= found["epochs"][0].keys()
    report = results(command=evaluate)
    assert {name: report[name] for name in ("rmse", "r2", "mae")} == {
        name: found[f"test_{name}"] for name in ("rmse", "r2", "mae")
    }
    text = run(command=evaluate).out
    assert f"R2           {report['r2']:.4g}\n" in text and "40 test samples, split off before the training" in text
    assert f"RMSE         {report['rmse']:.4g}\n" in text and "MAE " in text


@pytest.mark.parametrize(
    ("options", "trained", "epochs", "words"),
    [
        ((), 160, 40, "40 epochs, batches of 32, adamw, learning rate 0.003, weight decay 3, loss mse"),
        (("--weight-decay", "0.5", "--epochs", "1"), 160, 1, "weight decay 0.5"),
        (("--epochs", "2"), 160, 2, "2 epochs, batches of 32"),
        (("--patience", "1", "--epochs", "9"), 110, None, "stops after 1 without"),
        (("--val-split", "0.5"), 80, None, "stops after 15"),
        (("--optimizer", "sgd", "--epochs", "1"), 160, 1, "batches of 32, learning rate 0.1"),
        (("--preset", "fast", "--epochs", "1"), 160, 1, "adam, learning rate 0.005, weight decay 3, schedule onecycle"),
        (("--preset", "fast", "--weight-decay", "0.5", "--epochs", "1"), 160, 1, "weight decay 0.5"),
        (("--preset", "tutorial", "--epochs", "1"), 160, 1, "batches of 16, learning rate 0.1, loss mse"),
        (("--net", "input(4) standardize dense(4) tanh dense(1) rescale", "--epochs", "1"), 160, 1, "dense(4) tanh"),
        (("--limit", "50",), 50, 40, "40 epochs"),
        (("--task", "classes", "--target", "rooms", "--epochs", "1"), 159, 1, "loss cross_entropy"),
    ],
)  # fmt: skip
def test_defaults_and_options(
    folder: Path, options: tuple[str, ...], trained: int, epochs: int | None, words: str
) -> None:
    prices()
    args = ("--data", "prices.csv", "--target", "price", *options, "--save", "m.safetensors")
    done = run(*args)
    assert done.status == 0 and words in done.out
    found = results(*args)
    assert found["train_samples"] == trained and epochs in (None, len(found["epochs"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "flowers.csv: name the column to learn: --target (columns: id, length, width, colour, kind; 0 is"),
        (("--target", "sort"), "there is no column 'sort'; columns: id, length, width, colour, kind"),
        (("--target", "kind", "--task", "number"), "the target 'kind' holds 'a'; accepted: numbers"),
        (("--task", "classes"), "--task is for tables and needs --target COLUMN"),
        (("--target", "kind", "--classes", "a,b"), "--classes is for pictures; --target is for tables"),
        (("--target", "kind", "--load", "x"), "--target cannot be used with --load"),
        (("--target", "kind", "--folds", "3", "--test-split", "0.1"), "--test-split cannot be used with --folds"),
        (("--target", "kind", "--folds", "1"), "argument --folds: '1' is not accepted"),
        (("--target", "kind", "--separator", ",,"), "argument --separator: ',,' is not accepted"),
        (("--target", "kind", "--separator", ";"), "';' separates nothing"),
        (("--target", "kind", "--ignore", "sort"), "there is no column 'sort'"),
        (("--target", "Kind"), "there is no column 'Kind'; did you mean 'kind'? columns: id, length"),
        (("--target", "kind", "--ignore", "id,kind"), "'kind' is the target, and cannot be ignored"),
        (("--target", "kind", "--net", "input(5) dense(3) softmax"), "does not begin as input(5) standardize"),
        (("--target", "kind", "--net", "input(4) standardize dense(3) softmax"), "takes 4 inputs, the samples of"),
        (("--target", "kind", "--preset", "cnn"), "--preset cnn takes pictures"),
    ],
)  # fmt: skip
def test_errors(folder: Path, options: tuple[str, ...], message: str) -> None:
    flowers()
    pynet.Network("input(2) dense(2)").save("x")
    status = 1 if "accepted: numbers" in message or "separates" in message or "is the target" in message else 2
    one_line(run("--data", "flowers.csv", *options), status, message)
    assert not Path("flowers.safetensors").exists()


@pytest.mark.parametrize("name", ["t.tsv", "t.data", "t.txt", "t.csv.gz"])
def test_other_names_need_a_target(folder: Path, name: str) -> None:
    flowers(name.removesuffix(".gz"))
    if name.endswith(".gz"):
        subprocess.run(["gzip", name.removesuffix(".gz")], check=True)
    one_line(run("--data", name), 2, f"{name}: name the column to learn")
    assert run("--data", name, "--target", "-1", "--quiet", *FEW).status == 0
    assert Path("t.safetensors").exists()


def test_target_without_a_table(folder: Path) -> None:
    one_line(run("--target", "a"), 2, "--target is for a table; --data FILE names it")
    np.savez("a.npz", x_train=np.zeros((4, 2)), y_train=[0, 1, 0, 1], x_test=np.zeros((2, 2)), y_test=[0, 1])
    one_line(run("--data", "a.npz", "--target", "0"), 2, "--target is for tables, .csv, .tsv")
    one_line(run("--data", "nowhere.csv", "--target", "0"), 1, "nowhere.csv: no such file")


def test_the_first_column_is_the_label_only_if_the_file_is_unambiguous(folder: Path) -> None:
    rows = [[i % 2, *np.random.RandomState(i).randint(0, 256, 25)] for i in range(40)]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    for header in ("", "label" + ",p" * 25 + "\n", "digit" + ",p" * 25 + "\n"):  # pixels
        Path("t.csv").write_text(header + text)
        assert run("--data", "t.csv", "--quiet", *FEW).status in (0, 1)
        assert pynet.load("t.safetensors").meta["inputs"].startswith('{"bytes": true')
    small = "".join(f"{i % 2},{i % 5},{i % 3}\n" for i in range(40))
    for header, status in (("label,a,b\n", 0), ("Class,a,b\n", 0), ("target,a,b\n", 0), ("y,a,b\n", 0), ("", 2)):
        Path("t.csv").write_text(header + small)
        assert run("--data", "t.csv", "--save", "none", *FEW).status == status
    for header in ("a,label,b\n", "kind,a,b\n", "y,x,b\n"):
        Path("t.csv").write_text(header + small)
        one_line(run("--data", "t.csv"), 2, f"t.csv: name the column to learn: --target (columns: {header[0]}")
    Path("t.csv").write_text("class,a,b\n" + small.replace("0,", "x,"))
    one_line(run("--data", "t.csv"), 2, "0 is the first); without it, the first column has to be the label: ")
    assert "learns class, 2 classes" in run("--data", "t.csv", "--target", "0", "--save", "none", *FEW).out


def test_a_warning_is_one_line(folder: Path) -> None:
    rows = flowers().read_text().splitlines()
    Path("t.csv").write_text("\n".join([rows[0] + ",copy", *(f"{row},{row[-1].upper()}" for row in rows[1:])]))
    done = run("--data", "t.csv", "--target", "kind", "--quiet", *FEW)
    warning = "pynet train: warning: column 'copy' alone decides 'kind': is it made from it? --ignore leaves it out\n"
    assert (done.status, done.err) == (0, warning)
    assert run("--data", "t.csv", "--target", "kind", "--ignore", "copy", "--save", "none", *FEW).err == ""


def test_notes_of_many_columns_are_short() -> None:
    notes = ["learns y", *(f"left out: c{i}: constant, 0" for i in range(9)), "left out: d: dates"]
    assert listed(notes) == [
        "learns y",
        "left out: c0, c1, c2, c3, c4, c5, c6, c7, c8: constant, 0",
        "left out: d: dates",
    ]
    assert len(listed([str(i) for i in range(99)])) == 21


def test_early_stopping_with_many_rows_uses_a_tenth_of_them(folder: Path) -> None:
    prices("many.csv", 1000)
    done = run("--data", "many.csv", "--target", "price")
    assert "many: 720 samples for training, 80 for validation, 200 for testing" in done.out
    assert "weight decay 0.625" in done.out and "up to 200 epochs" in done.out
    assert results("--data", "many.csv", "--target", "price", "--test-split", "0.5")["train_samples"] == 450


def test_folds(folder: Path) -> None:
    flowers()
    done = run("--data", "flowers.csv", "--target", "kind", "--folds", "3", *FEW)
    assert [line[:8] for line in done.out.splitlines() if line.startswith("fold ")] == [
        "fold 1/3",
        "fold 2/3",
        "fold 3/3",
    ]
    assert (done.status, done.err) == (0, "")
    assert "test accuracy" in done.out and "/150)" in done.out and "true \\ pred" in done.out
    found = results("--data", "flowers.csv", "--target", "kind", "--folds", "3", *FEW)
    assert len(found["folds"]) == 3 and found["train_samples"] == 150
    assert found["test_accuracy"] == pytest.approx(np.mean(found["folds"]), abs=0.01)
    assert "150 training samples: there is no test set" in run(command=evaluate).out
    one_line(run("--data", "flowers.csv", "--target", "kind", "--folds", "99", "--limit", "5"), 2, "--limit cannot be")
    preset = results(
        "--data", "flowers.csv", "--target", "kind", "--folds", "2", "--preset", "fast", "--class-weight", "none"
    )
    assert preset["test_accuracy"] > 0.9 and len(preset["epochs"]) > 100
    Path("few.csv").write_text("a,b\n" + "1,x\n2,x\n3.5,y\n4,y\n5,y\n")
    one_line(
        run("--data", "few.csv", "--target", "b", "--folds", "6"), 2, "6 of 5 rows; accepted: at most one for each"
    )
    prices()
    found = results("--data", "prices.csv", "--target", "price", "--folds", "2")
    assert found["test_r2"] > 0.8 and len(found["folds"]) == 2
    assert "test RMSE" in run("--data", "prices.csv", "--target", "price", "--folds", "2").out


# ---- the saved model ----


def test_the_same_bits_in_a_fresh_process(folder: Path) -> None:
    flowers()
    args = ["--data", "flowers.csv", "--target", "kind", *FEW]
    script = "import sys; from pynet.__main__ import main; sys.exit(main(sys.argv[1:]))"
    outputs = []
    for name in ("a.safetensors", "b.safetensors"):
        for command in (
            ["train", *args, "--save", name, "--quiet"],
            ["predict", "--model", name, "flowers.csv", "--json"],
        ):
            done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, timeout=GUARD)
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
    assert outputs[0] == outputs[2] and outputs[1] == outputs[3]
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    net, found = pynet.load("a.safetensors"), pynet.data.table("flowers.csv", "kind")
    assert json.loads(outputs[1]) == json.loads(
        run("--model", "a.safetensors", "flowers.csv", "--json", command=predict).out
    )
    accuracy = float(net.meta["test_accuracy"])
    assert (
        net.evaluate(found.x_test, found.y_test).accuracy == accuracy
    )  # the Python API decides the same about the columns


def test_predictions(folder: Path) -> None:
    flowers()
    assert run("--data", "flowers.csv", "--target", "kind", "--quiet").status == 0
    rows = list(csv.DictReader(io.StringIO(flowers().read_text())))
    found = predicted("flowers.csv")
    assert list(found[0]) == ["row", "prediction", "confidence"]
    assert [row["row"] for row in found] == [str(i) for i in range(1, 151)]
    right = [one["prediction"] == row["kind"] for one, row in zip(found, rows, strict=True)]
    assert np.mean(right) > 0.95
    with open("other.csv", "w") as file:  # without the target, in another order, with one more column
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["colour", "more", "width", "length"])
        writer.writerows([row["colour"], "x", row["width"], row["length"]] for row in rows)
    assert predicted("other.csv") == found
    objects = json.loads(run("other.csv", "--json", "--top", "2", command=predict).out)
    assert [one["prediction"] for one in objects] == [row["prediction"] for row in found]
    assert (
        list(objects[0]) == ["row", "prediction", "confidence", "probabilities"]
        and len(objects[0]["probabilities"]) == 2
    )
    for i in (0, 70, 149):  # no prediction depends on the other rows
        Path("one.csv").write_text(
            "length,width,colour\n" + ",".join(rows[i][c] for c in ("length", "width", "colour"))
        )
        [alone] = json.loads(run("one.csv", "--json", command=predict).out)
        assert (
            alone["probabilities"] == json.loads(run("flowers.csv", "--json", command=predict).out)[i]["probabilities"]
        )


def test_predictions_of_numbers(folder: Path) -> None:
    prices()
    assert run("--data", "prices.csv", "--target", "price", "--quiet").status == 0
    found = predicted("prices.csv")
    assert list(found[0]) == ["row", "prediction"]
    truth = [float(line.rsplit(",", 1)[1]) for line in Path("prices.csv").read_text().splitlines()[1:]]
    error = np.array([float(row["prediction"]) for row in found]) - truth
    assert np.sqrt(np.mean(error**2)) < 40_000
    objects = json.loads(run("prices.csv", "--json", command=predict).out)
    assert [one["prediction"] for one in objects] == pytest.approx(
        [float(row["prediction"]) for row in found], rel=1e-6
    )
    assert pynet.predict_table("prices.csv").values.tolist() == pytest.approx([one["prediction"] for one in objects])


def test_tables_that_do_not_fit_the_model(folder: Path) -> None:
    flowers()
    assert run("--data", "flowers.csv", "--target", "kind", "--quiet", *FEW).status == 0
    Path("short.csv").write_text("length,width\n1,2\n")
    one_line(
        run("short.csv", command=predict),
        1,
        "there is no column 'colour', which the model takes; columns: length, width",
    )
    one_line(run("--data", "short.csv", command=evaluate), 1, "no column 'kind', the model's target")
    Path("odd.csv").write_text("length,width,colour,kind\n1,2,red,a\n1,?,green,b\nx,2,red,c\n")
    done = run("odd.csv", command=predict)
    assert done.status == 0 and len(done.out.splitlines()) == 4
    assert "3 values that the training rows did not have count as none: 'x' in column 'length', line 4" in done.err
    assert "a missing one in column 'width', line 3; 'green' in column 'colour', line 3" in done.err
    assert done.err.count("\n") == 1
    Path("inf.csv").write_text("length,width,colour\n1,2,red\n1,inf,red\n")
    one_line(run("inf.csv", command=predict), 1, "line 3, column 'width' holds inf")
    one_line(run("odd.csv", "short.csv", command=predict), 2, "one at a time")
    one_line(run("three.png", command=predict), 2, "the model takes tables")
    one_line(run("odd.csv", "--show", command=predict), 2, "--show is for pictures; odd.csv is a table")
    one_line(run("nowhere.csv", command=predict), 1, "nowhere.csv: cannot be read: No such file")
    net = pynet.load("flowers.safetensors")
    net.meta["table"] = "{}"
    net.save("flowers.safetensors")
    one_line(run("odd.csv", command=predict), 1, "the model's note on its table is damaged")


def test_evaluate_uses_the_test_rows_or_all_rows_of_another_table(folder: Path) -> None:
    flowers()
    found = results("--data", "flowers.csv", "--target", "kind")
    report = results(command=evaluate)
    assert (report["accuracy"], report["samples"]) == (found["test_accuracy"], 30)
    rows = Path("flowers.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join([rows[0], *rows[100:140]]))
    assert results("--data", "new.csv", command=evaluate)["samples"] == 40
    swapped = [",".join(reversed(row.split(","))) for row in rows]
    Path("swapped.csv").write_text("\n".join(swapped))
    assert results("--data", "swapped.csv", command=evaluate)["samples"] == 30  # the same rows
    two = [row for row in rows[:1] + rows[1::2] if row[-1] != "c"]
    Path("two.csv").write_text("\n".join(two))
    assert results("--data", "two.csv", command=evaluate)["roc_auc"] is None  # the model has three
    assert run("--data", "two.csv", "--target", "kind", "--quiet", "--save", "two.safetensors").status == 0
    assert results("--model", "two.safetensors", command=evaluate)["roc_auc"] > 0.9
    assert "ROC AUC " in run("--model", "two.safetensors", command=evaluate).out


def test_training_continues_from_a_model_of_a_table(folder: Path) -> None:
    flowers()
    assert run("--data", "flowers.csv", "--target", "kind", "--quiet", *FEW).status == 0
    before = pynet.load("flowers.safetensors")
    done = run("--load", "flowers.safetensors", "--epochs", "2", "--quiet", "--save", "on.safetensors")
    assert (done.status, done.err) == (0, "")
    after = pynet.load("on.safetensors")
    assert after.meta["table"] == before.meta["table"] and after.meta["epochs"] == "5"
    assert np.array_equal(after.tensors["0.mean"], before.tensors["0.mean"])
    assert after.meta["data_sha256"] == before.meta["data_sha256"]
    one_line(run("--load", "flowers.safetensors", "--dataset", "digits"), 1, "takes 5 inputs")


def test_a_better_model_of_other_columns_is_kept(folder: Path) -> None:
    """The old model is evaluated on the same rows, encoded with its own columns."""
    flowers()
    data = ("--data", "flowers.csv", "--target", "kind", "--quiet")
    assert run(*data).status == 0
    done = run(*data, "--ignore", "width", "--epochs", "1", "--hidden", "2")
    assert (done.status, done.err.count("\n")) == (0, 1)
    assert "flowers-previous.safetensors" in done.err and "%" in done.err
    Path("flowers.csv").write_text("a,kind\n" + "1,a\n2.5,b\n3,c\n" * 9)
    assert "for other data" in run(*data, "--epochs", "9").err


def test_decimal_commas_are_stored_in_the_model(folder: Path) -> None:
    flowers("komma.csv", mark=",")
    done = run("--data", "komma.csv", "--target", "kind", *FEW)
    assert "fields separated by ;\n" in done.out and "decimal comma\n" in done.out
    flowers("point.csv")
    assert run("--data", "point.csv", "--target", "kind", "--quiet", *FEW).status == 0
    of_point = run("--model", "point.safetensors", "point.csv", command=predict)
    assert run("--model", "komma.safetensors", "komma.csv", command=predict) == of_point
    given = ("--separator", ";", "--decimal", ",")
    assert run("--model", "point.safetensors", "komma.csv", *given, command=predict) == of_point
    wrong = run("--model", "point.safetensors", "komma.csv", "--decimal", ".", command=predict)
    one_line(wrong, 1, "values are no numbers, as '0,196' in column 'length', line 3; accepted: numbers; --decimal ,")


def test_a_table_without_a_header(folder: Path) -> None:
    flowers("t.data", header=False)
    assert run("--data", "t.data", "--target", "-1", "--quiet", "--epochs", "20").status == 0
    found = predicted("t.data")
    rows = [line.rsplit(",", 1)[0] for line in Path("t.data").read_text().splitlines()]
    Path("u.data").write_text("\n".join(rows))
    assert predicted("u.data") == found


def test_predictions_of_pixel_rows_are_a_kaggle_submission(folder: Path) -> None:
    digits = pynet.data.load("digits")
    x = np.rint(digits.x_test.reshape(-1, 64).astype(int) * 255 / digits.x_test.max()).astype(int)
    labels = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    np.savetxt("train.csv", np.c_[digits.y_test, x], "%d", ",", header=labels, comments="")
    np.savetxt("test.csv", x, "%d", ",", header=labels.removeprefix("label,"), comments="")
    assert run("--data", "train.csv", "--epochs", "20", "--quiet").status == 0
    found = predicted("test.csv")
    assert list(found[0]) == ["ImageId", "Label"] and [row["ImageId"] for row in found[:2]] == ["1", "2"]
    assert np.mean([int(row["Label"]) == y for row, y in zip(found, digits.y_test, strict=True)]) > 0.95
    assert predicted("train.csv") == found
    assert run("--data", "train.csv", "--target", "label", "--quiet", "--save", "table.safetensors", *FEW).status == 0
    assert list(predicted("test.csv", "--model", "table.safetensors")[0]) == ["ImageId", "Label"]
    Path("table.safetensors").unlink()
    np.savetxt("narrow.csv", x[:, 1:], "%d", ",")
    one_line(run("narrow.csv", command=predict), 1, "narrow.csv has 63 columns; the model takes 64 numbers")
    Path("odd.csv").write_text(Path("test.csv").read_text().replace(",0,", ",,", 1))
    one_line(run("odd.csv", command=predict), 1, "holds no number")


def test_pictures_of_tables(folder: Path) -> None:
    prices()
    assert run("--data", "prices.csv", "--target", "price", "--quiet", *FEW).status == 0
    done = run("predicted", "residuals", "importance", command=visualize)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("prices-figures/prices-predicted.png  price: R2 ")
    assert Path("prices-figures/prices-importance.png").exists()
    flowers()
    assert run("--data", "flowers.csv", "--target", "kind", "--quiet", *FEW).status == 0
    assert "accuracy falls" in run("importance", "--on", "all", command=visualize).out
    Path("flowers.csv").unlink()  # the model knows the names of its inputs
    for kind in ("preferred", "noise"):
        assert run(kind, "--format", "svg", command=visualize).status == 0
        assert "<!-- length -->" in Path(f"flowers-figures/flowers-{kind}.svg").read_text("utf-8")
    one_line(run("predicted", command=visualize), 1, "predicts classes; this figure is for numbers")


def test_rows_of_numbers_for_other_models(folder: Path) -> None:
    Path("rows.csv").write_text("a,b\n1,2\n3,4\n")
    net = pynet.Network("input(2) dense(1)")
    net.save("one.safetensors")
    found = [float(row["prediction"]) for row in predicted("rows.csv", "--model", "one.safetensors")]
    assert found == pytest.approx(net.predict(np.array([[1.0, 2], [3, 4]])).tolist(), rel=1e-5)
    pynet.Network("input(2) dense(3)").save("three.safetensors")
    one_line(run("rows.csv", "--model", "three.safetensors", command=predict), 1, "rows of tables take one prediction")
    pynet.Network("input(2) dense(1) sigmoid loss(bce)").save("two.safetensors")
    found = predicted("rows.csv", "--model", "two.safetensors")
    assert list(found[0]) == ["row", "prediction", "confidence"]
    assert {row["prediction"] for row in found} <= {"0", "1"}
    done = run("rows.csv", "--model", "two.safetensors", "--top", "9", command=predict)
    assert done.out.splitlines()[0] == "row,prediction,confidence,prediction 2,confidence 2"
    _, first, share, second, rest = done.out.splitlines()[1].split(",")
    assert {first, second} == {"0", "1"} and float(share) + float(rest) == pytest.approx(1, abs=2e-4)
    one_line(run("rows.csv", "--model", "one.safetensors", "--top", "2", command=predict), 2, "--top is for classes")
