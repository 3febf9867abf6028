package chart

import (
	"errors"
	"testing"

	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
)

func TestTextsOfChartsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	passtest.CutBetweenCharacters(t, "the schema bounds a problem", maxProblem, func(text string) string {
		return chartToRead{}.with([]answer{{err: errors.New(text)}}, "").Problem
	})
	passtest.CutBetweenCharacters(t, "the schema bounds a remark", maxProblem, func(text string) string {
		return chartToRead{}.with([]answer{{remarks: []string{text}}}, "").Remark
	})
}
