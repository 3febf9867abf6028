// Package schedule computes when a CronJob is due from its crontab line and time zone.
//
// Decision: the parser is the one that kube-controller-manager uses for CronJobs, so that admission,
// the controllers and Kubernetes agree on every line. Rejected: a separate parser, because it could disagree with
// Kubernetes.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a crontab line in a time zone.
type Schedule struct {
	line cron.Schedule
	zone *time.Location
}

// Parse reads a crontab line and its IANA time zone. It returns the errors of CheckLine and CheckZone.
func Parse(line, zone string) (Schedule, error) {
	parsed, err := parseLine(line)
	if err != nil {
		return Schedule{}, err
	}
	location, err := loadZone(zone)
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{line: parsed, zone: location}, nil
}

// Next returns the first time after t at which the schedule is due, or the zero time if there is none within five years.
func (s Schedule) Next(t time.Time) time.Time { return s.line.Next(t.In(s.zone)) }

// CheckLine returns nil if Kubernetes accepts the line as the schedule
// of a CronJob, and otherwise an error that says what to write instead.
func CheckLine(line string) error {
	_, err := parseLine(line)
	return err
}

// CheckZone returns nil if zone is an IANA time zone, and otherwise an error that says what to write instead.
func CheckZone(zone string) error {
	_, err := loadZone(zone)
	return err
}

// parseLine rejects a time zone in the line before the parser reads it: the
// parser panics on some time zones, and Kubernetes rejects all of them.
func parseLine(line string) (cron.Schedule, error) {
	if strings.Contains(line, "TZ") {
		return nil, errors.New("must not contain a time zone; set timeZone")
	}
	parsed, err := cron.ParseStandard(line)
	if err != nil {
		return nil, fmt.Errorf("not a crontab line (%w); use five fields such as \"0 0 * * *\", or \"\" for no CronJob", err)
	}
	if parsed.Next(anyTime).IsZero() {
		return nil, errors.New("a day that never comes; use one that each year or leap year has, such as \"0 0 1 * *\"")
	}
	return parsed, nil
}

// anyTime is the time from which parseLine checks whether a schedule is ever due.
var anyTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// loadZone rejects Local, which is a different zone on every host.
func loadZone(zone string) (*time.Location, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || strings.EqualFold(zone, "Local") {
		return nil, errors.New("not an IANA time zone; use one such as Etc/UTC or Europe/Berlin")
	}
	return location, nil
}
