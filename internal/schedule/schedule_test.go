package schedule

import (
	"strings"
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason           string
		line, zone       string
		after, want      string // RFC 3339; want is "" when no time is due
		refusalBeginning string
	}{
		"Daily":       {"the default of a store", "0 0 * * *", "Etc/UTC", "2026-01-02T03:04:05Z", "2026-01-03T00:00:00Z", ""},
		"AtTheTime":   {"the run that has just begun is not the next one", "0 0 * * *", "Etc/UTC", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", ""},
		"Zone":        {"midnight in Paris is an hour earlier in winter", "0 0 * * *", "Europe/Paris", "2026-01-02T03:04:05Z", "2026-01-02T23:00:00Z", ""},
		"SummerTime":  {"and two hours earlier in summer", "0 0 * * *", "Europe/Paris", "2026-07-02T03:04:05Z", "2026-07-02T22:00:00Z", ""},
		"Macro":       {"Kubernetes accepts macros", "@hourly", "Etc/UTC", "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z", ""},
		"Every":       {"and intervals", "@every 90m", "Etc/UTC", "2026-01-02T03:00:00Z", "2026-01-02T04:30:00Z", ""},
		"Never":       {"no 30 February", "0 0 30 2 *", "Etc/UTC", "", "", "a day that never comes"},
		"LeapDay":     {"there is a 29", "0 0 29 2 *", "Etc/UTC", "2026-01-02T03:04:05Z", "2028-02-29T00:00:00Z", ""},
		"BadLine":     {"Kubernetes refuses it too", "61 * * * *", "Etc/UTC", "", "", "not a crontab line (end of range (61)"},
		"ZoneInLine":  {"the parser would panic", "TZ=0", "Etc/UTC", "", "", "must not contain a time zone"},
		"NoSuchZone":  {"a zone that nobody knows", "0 0 * * *", "Europe/Nowhere", "", "", "not an IANA time zone"},
		"LocalOfWhom": {"another zone on every host", "0 0 * * *", "local", "", "", "not an IANA time zone"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Parse(tc.line, tc.zone)
			if tc.refusalBeginning != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.refusalBeginning) {
					t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.refusalBeginning)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			after, err := time.Parse(time.RFC3339, tc.after)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if next := s.Next(after); !next.IsZero() {
				got = next.UTC().Format(time.RFC3339)
			}
			if got != tc.want {
				t.Errorf("%s: the next run is due at %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}
