package v1alpha1

import "testing"

func TestPurgeSpecSchedule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason         string
		spec           PurgeSpec
		schedule, zone string
	}{
		"Absent": {"an object that the API server has not filled in has the API's defaults", PurgeSpec{}, "0 0 * * *", "Etc/UTC"},
		"Empty":  {"an empty schedule is a choice: no CronJob", PurgeSpec{Schedule: new("")}, "", "Etc/UTC"},
		"Set":    {"what is set is used", PurgeSpec{Schedule: new("@hourly"), TimeZone: "Europe/Paris"}, "@hourly", "Europe/Paris"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.spec.CronSchedule(); got != tc.schedule {
				t.Errorf("%s: the schedule is %q, want %q", tc.reason, got, tc.schedule)
			}
			if got := tc.spec.CronTimeZone(); got != tc.zone {
				t.Errorf("%s: the time zone is %q, want %q", tc.reason, got, tc.zone)
			}
		})
	}
}
