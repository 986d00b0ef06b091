"""Numbers as a sheet shows them; each right value is what Excel shows in the language that is named."""

import pytest

from sails.data.formats.number_format import BUILT_IN, general, shown


@pytest.mark.parametrize(
    ("number", "code", "right"),
    [
        (0.15, "0%", "15%"),
        (0.155, "0.0 %", "15.5 %"),
        (1234, "00000", "01234"),
        (1234.5, "#,##0.00", "1,234.50"),
        (0.5, "#.00", ".50"),
        (2.5, "0", "3"),
        (2.5, "0.##", "2.5"),
        (0, "#", ""),
        (-7, "#,##0", "-7"),
        (-7, "#,##0;(#,##0)", "(7)"),
        (-3, "0.00;[Red]-0.00", "-3.00"),
        (0, '0;-0;"none"', "none"),
        (5, ";;;", ""),
        (1_500_000, '0.0,,"M"', "1.5M"),
        (12345.678, "0.00E+00", "1.23E+04"),
        (12.5, "# ?/?", "12 1/2"),
        (1234.5, '#,##0.00 "€"', "1,234.50 €"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (5, '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', "$5.00"),
        (0, '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', "$-"),
        (5, "#,##0 [$kr-41D]", "5 kr"),
        (5, '"Nr." 000', "Nr. 005"),
        (3, '0 "Stück"', "3 Stück"),
        (123456789, "000-00-0000", "123-45-6789"),
        (5551234, "[<=9999999]###-####;(###) ###-####", "555-1234"),
        (2125551234, "[<=9999999]###-####;(###) ###-####", "(212) 555-1234"),
        (49301234567, "+00 000 000000", "+49 301 234567"),
        (9.5 / 24, "hh:mm", "09:30"),
        (0.75, "h:mm AM/PM", "6:00 PM"),
        (26 / 24 + 5 / 1440, "[h]:mm", "26:05"),
        (26 / 24 + 5 / 1440, "h:mm", "2:05"),
        (90 / 86_400, "[mm]:ss", "01:30"),
        (90.5 / 86_400, "mm:ss.0", "01:30.5"),
        (45000.5, "yyyy-mm-dd hh:mm", "2023-03-15 12:00"),
        (45000, "dd.mm.yyyy", "15.03.2023"),
        (45000, "d-mmm-yy", "15-Mar-23"),
        (45000, "dddd, mmmm d", "Wednesday, March 15"),
        (45000, "[$-407]dddd, d. mmmm yyyy", "Mittwoch, 15. März 2023"),
        (45000, "[$-40C]d mmmm yyyy;@", "15 mars 2023"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (-1, "yyyy-mm-dd", "-1"),
    ],
)
def test_a_number_is_shown_in_its_format(number, code, right):
    assert shown(number, code) == right


def test_days_may_be_counted_from_1904():
    assert shown(0, "yyyy-mm-dd", since_1904=True) == "1904-01-01"


@pytest.mark.parametrize(
    ("number", "right"),
    [
        (0.1 + 0.2, "0.3"),
        (7.0, "7"),
        (12345678901.0, "12345678901"),
        (1e-7, "1E-07"),
        (1e21, "1E+21"),
        (-0.5, "-0.5"),
    ],
)
def test_a_number_without_a_format_has_no_digits_of_binary_fractions(number, right):
    assert general(number) == right


@pytest.mark.parametrize("code", BUILT_IN.values())
@pytest.mark.parametrize("number", [0, 0.4, 1, 59.9, 60, 45000.25, 1e9, -2.5, 1e300])
def test_every_built_in_format_shows_any_number(number, code):
    assert isinstance(shown(number, code), str)
