// Package schedule computes when a CronJob is due from its crontab line and time zone.
//
// Decision: the parser is the one that kube-controller-manager uses for CronJobs, so that admission,
// the controllers and Kubernetes agree on every line. Rejected: a parser of our own.
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

// Parse reads a crontab line and the IANA time zone that it is meant in. Errors are those of
// CheckLine and CheckZone.
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

// Next returns the first time after t at which the schedule is due; the zero time when none exists
// within five years.
func (s Schedule) Next(t time.Time) time.Time { return s.line.Next(t.In(s.zone)) }

// CheckLine returns an error, which says what to write instead, unless Kubernetes accepts the line as
// the schedule of a CronJob.
func CheckLine(line string) error {
	_, err := parseLine(line)
	return err
}

// CheckZone returns an error, which says what to write instead, unless zone is an IANA time zone.
func CheckZone(zone string) error {
	_, err := loadZone(zone)
	return err
}

// parseLine refuses a time zone in the line before the parser sees it: the parser panics on some, and
// Kubernetes refuses all of them.
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

// anyTime is when it is asked whether a schedule ever comes.
var anyTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// loadZone refuses Local, which is another zone on every host.
func loadZone(zone string) (*time.Location, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || strings.EqualFold(zone, "Local") {
		return nil, errors.New("not an IANA time zone; use one such as Etc/UTC or Europe/Berlin")
	}
	return location, nil
}
