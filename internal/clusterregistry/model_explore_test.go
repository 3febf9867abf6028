package clusterregistry_test

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// local is what one process remembers between steps.
type local uint32

// step is what a process does atomically: one rename, one check, or one read of a directory. It returns next, done,
// misled, failed, or the number of the step to continue with.
type step struct {
	name string
	do   func(w *world, l *local) int
	// idle reports that the step changes nothing shared, and has the same result whatever
	// other processes do before it. The step is then combined with the step before, which
	// omits no order that makes a difference. A step with a nil idle is never idle.
	idle func(w world, l local) bool
}

const (
	next = -1
	// A process at one of these has ended. misled means that it failed
	// because a layer was missing for which HEAD had answered 200.
	misled = 60
	done   = 61
	failed = 62
	killed = 63

	maxSteps = 59
	pcBits   = 6
	pcMask   = 1<<pcBits - 1
)

// process is one actor of a scenario.
type process struct {
	name  string
	steps []step
	// mayDie: the process may be killed before any of its steps.
	mayDie bool
	// after is the number, from 1, of the process that must end before this one begins, or 0.
	after int
}

// maxProcesses bounds the processes of a scenario.
const maxProcesses = 4

// state is the world and, for each process, the number of its next step and what it remembers.
type state struct {
	world world
	at    [maxProcesses]uint32
}

func (s state) pc(i int) int { return int(s.at[i] & pcMask) }

// outcome is the result of exploring a scenario.
type outcome struct {
	states int
	// acknowledged counts the end states (those without a next step) in which an acknowledged push must still be kept.
	acknowledged int
	// misled counts the end states in which a process was misled.
	misled int
	// lostAt is a shortest sequence of steps that loses an acknowledged
	// push, one step a line. It is empty if no sequence does.
	lostAt string
}

// exploration visits every state that any order of the processes' steps can reach, breadth first.
type exploration struct {
	processes []process
	states    []state
	parents   []int32
	// slots is a hash table of the states: one more than the number of a state, or 0. At most half of it is used.
	slots []int32
	seed  maphash.Seed
}

// explore visits all states, or stops at the first loss.
func explore(r rules, begin world, processes []process) (o outcome) {
	e := exploration{processes: processes, slots: make([]int32, 1<<10), seed: maphash.MakeSeed()}
	e.add(state{world: begin}, -1)
	for i := 0; i < len(e.states) && o.lostAt == ""; i++ {
		s := e.states[i]
		if r.lost(s.world) {
			o.lostAt = e.story(i)
		} else if !e.expand(s, int32(i)) {
			o.end(s)
		}
	}
	o.states = len(e.states)
	return o
}

func (o *outcome) end(s state) {
	if s.world&(tagAcknowledged|revisionAcknowledged) != 0 {
		o.acknowledged++
	}
	for i := range s.at {
		if s.pc(i) == misled {
			o.misled++
			break
		}
	}
}

// add runs the idle steps and then adds the state, unless it
// is known. parent is the number of the previous state, or -1.
func (e *exploration) add(s state, parent int32) {
	for i, p := range e.processes {
		for s.pc(i) <= maxSteps && p.idles(s, i) {
			s = p.proceed(s, i)
		}
	}
	slot := e.slot(s)
	if *slot != 0 {
		return
	}
	e.states = append(e.states, s)
	e.parents = append(e.parents, parent)
	*slot = int32(len(e.states))
	if 2*len(e.states) > len(e.slots) {
		e.slots = make([]int32, 2*len(e.slots))
		for i, known := range e.states {
			*e.slot(known) = int32(i + 1)
		}
	}
}

// slot returns the slot that has the number of a state, or where it belongs.
func (e *exploration) slot(s state) *int32 {
	mask := uint64(len(e.slots) - 1)
	for h := maphash.Comparable(e.seed, s) & mask; ; h = (h + 1) & mask {
		if n := e.slots[h]; n == 0 || e.states[n-1] == s {
			return &e.slots[h]
		}
	}
}

// expand adds the states after each step that is possible now, and reports whether there was one.
func (e *exploration) expand(s state, number int32) (moved bool) {
	for i, p := range e.processes {
		if s.pc(i) > maxSteps || p.after != 0 && s.pc(p.after-1) <= maxSteps {
			continue
		}
		moved = true
		e.add(p.proceed(s, i), number)
		if p.mayDie {
			s.at[i] = killed
			e.add(s, number)
			s = e.states[number]
		}
	}
	return moved
}

// idles reports whether the next step of process i is idle.
func (p process) idles(s state, i int) bool {
	idle := p.steps[s.pc(i)].idle
	return idle != nil && idle(s.world, local(s.at[i]>>pcBits))
}

// proceed returns the state after the next step of process i.
func (p process) proceed(s state, i int) state {
	pc, l := s.pc(i), local(s.at[i]>>pcBits)
	to := p.steps[pc].do(&s.world, &l)
	switch {
	case to == next:
		to = pc + 1
	case to > maxSteps:
		l = 0
	}
	s.at[i] = uint32(to) | uint32(l)<<pcBits
	return s
}

// story describes step by step how a state is reached.
func (e *exploration) story(number int) string {
	var lines []string
	for i := int32(number); e.parents[i] >= 0; i = e.parents[i] {
		before, after := e.states[e.parents[i]], e.states[i]
		for p, of := range e.processes {
			if before.at[p] == after.at[p] {
				continue
			}
			what := "is killed"
			if after.pc(p) != killed {
				what = of.steps[before.pc(p)].name
			}
			lines = append(lines, fmt.Sprintf("%s: %s", of.name, what))
		}
	}
	for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
		lines[i], lines[j] = lines[j], lines[i]
	}
	return strings.Join(lines, "\n")
}
