/* test_clock.c - the clock that does not go back: raised, lowered by who saw it last, damaged, carried over; the
 * hint of what expires next. */
#include "fixture.h"

#include "journal/frame.h"

START_TEST(test_the_clock_grows_until_it_is_lowered)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    ck_assert_int_eq(journal_clock(self), 0);
    journal_raise_clock(self, 1000);
    journal_raise_clock(self, 999);
    journal_raise_clock(self, -5);
    ck_assert_int_eq(journal_clock(self), 1000);
    journal_lower_clock(self, 999, 500); /* somebody raised it since 999 was seen */
    ck_assert_int_eq(journal_clock(self), 1000);
    journal_lower_clock(self, 1000, 500);
    ck_assert_int_eq(journal_clock(self), 500);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_a_damaged_clock_counts_as_none)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    int64_t now = 1700000000000;
    int believed = 0;
    for (int bit = 0; bit < 64; bit++) {
        journal_raise_clock(self, now);
        self->head->clock ^= UINT64_C(1) << bit;
        believed += journal_clock(self) != 0;
        journal_raise_clock(self, now); /* mends it */
        ck_assert_int_eq(journal_clock(self), now);
    }
    ck_assert_int_eq(believed, 0);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_a_new_generation_goes_on_from_the_old_clock)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    static const unsigned char other[16] = "another store..";
    journal_raise_clock(self, 4711);
    journal_expiry_set_due(self, 99);
    journal_close(self);
    OK(journal_create(folder, test_uuid, 78, 8, 2000, TEST_RING));
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert_int_eq(journal_clock(self), 4711);
    ck_assert_int_eq(journal_expiry_due(self), 0); /* not known: look */
    journal_close(self);
    OK(journal_create(folder, other, 79, 8, 2000, TEST_RING));
    OK(journal_open(folder, other, false, &self));
    ck_assert_int_eq(journal_clock(self), 0);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_the_hint_is_lowered_by_notes)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    journal_expiry_set_due(self, INT64_MAX);
    uint64_t notes = journal_expiry_notes(self);
    journal_expiry_note(self, 700);
    journal_expiry_note(self, 800);
    ck_assert_int_eq(journal_expiry_due(self), 700);
    ck_assert_uint_eq(journal_expiry_notes(self), notes + 2);
    journal_expiry_note_due(self, 600);
    ck_assert_int_eq(journal_expiry_due(self), 600);
    ck_assert_uint_eq(journal_expiry_notes(self), notes + 2);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/clock");
    TCase *tcase = harness_case(suite, "clock");
    tcase_add_test(tcase, test_the_clock_grows_until_it_is_lowered);
    tcase_add_test(tcase, test_a_damaged_clock_counts_as_none);
    tcase_add_test(tcase, test_a_new_generation_goes_on_from_the_old_clock);
    tcase_add_test(tcase, test_the_hint_is_lowered_by_notes);
    return harness_run(suite);
}
