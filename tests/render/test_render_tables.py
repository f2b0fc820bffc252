from ownerreportd.render.dialects import DISCORD, MARKDOWN
from ownerreportd.render.outline import outline
from ownerreportd.render.tables import aligned


def shown(text, dialect=DISCORD):
    return "\n".join(outline(text, dialect).lines)


def test_a_table_becomes_a_code_block_of_its_rows_in_even_columns():
    assert shown("Before\n\n| 名稱 | n |\n|---|--:|\n| a | 1,000 |\n|報告|2|\n\nAfter") == (
        "Before\n"
        "\n"
        "```\n"
        "| 名稱 |     n |\n"
        "| ---  |   --: |\n"
        "| a    | 1,000 |\n"
        "| 報告 |     2 |\n"
        "```\n"
        "\n"
        "After"
    )


def test_a_dialect_with_tables_leaves_it():
    text = "| a | b |\n|---|---|\n| 1 | 2 |"
    assert shown(text, MARKDOWN) == text


def test_rows_without_outer_pipes_and_with_escaped_ones():
    assert aligned(["a | long", "-|-", "x\\|y | `z`"]) == ["a    | long", "-    | -", "x\\|y | `z`"]


def test_rows_of_unlike_lengths_keep_their_cells():
    assert aligned(["|a|b|", "|-|-|", "|x|", "|1|2|3|"]) == [
        "| a | b |", "| - | - |", "| x |", "| 1 | 2 | 3 |",
    ]  # fmt: skip


def test_a_table_that_would_be_too_wide_stays_as_it_is():
    rows = ["|a|b|", "|-|-|", f"|{'x' * 200}|1|"]
    assert aligned(rows) == rows


def test_a_small_table_with_a_wide_row_does_not_grow_without_bound():
    rows = ["|a|b|", "|-|-|", f"|{'x' * 100}|1|", *["|y|2|"] * 1000]
    assert sum(map(len, aligned(rows))) <= 2 * sum(map(len, rows)) + 240


def test_a_table_in_a_quote_is_a_code_block_in_the_quote():
    assert shown("> |a|b|\n> |-|-|\n> |1|2|\n") == "> ```\n> |a|b|\n> |-|-|\n> |1|2|\n> ```\n"


def test_a_table_that_fence_lines_would_break_stays_as_it_is():
    for text in ("- |a|b|\n  |-|-|\n  |1|2|", "|a|b|\n|-|-|\n|```|2|"):
        assert shown(text) == text
