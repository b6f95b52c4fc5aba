"""What `cebench transfer` prints of its record."""

from samples import changed

from cebench.reporting.headlines import headline_lines


def test_a_line_says_the_column_once() -> None:
    record = changed(
        table="1", column="psnr", metric="psnr_per_image_mean_db", value=18.0, unit="db", count=9
    )
    (line,) = headline_lines(record)
    assert line.split("  ")[0] == "context"
    assert line.count("PSNR") == 1
    assert line.endswith("18.00 dB   9 images")
