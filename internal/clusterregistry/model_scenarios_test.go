package clusterregistry_test

import "testing"

// scenario is a set of processes that run at the same time, and the objects that exist before: old, and without a tag.
type scenario struct {
	name   string
	begin  set
	actors func(r rules) []process
	// noLinks leaves out the layer links, because with them there would be too many states.
	noLinks bool
}

var (
	nothing   = setOf()
	layerOnly = setOf(linkL, blobL)
	oldImage  = setOf(revM, blobM, linkL, blobL)

	tagImage     = push{what: image, tagged: true}
	askAndTag    = push{what: image, tagged: true, layer: asked}
	uploadAndTag = push{what: image, tagged: true, layer: uploaded}
	imageDigest  = push{what: image}
	tagIndex     = push{what: index, tagged: true}
)

// mortal may be killed before any of its steps. Other processes do not need this: being killed is the same as taking no
// further step, and R2 is checked in every state.
func mortal(p process) process { p.mayDie = true; return p }

// afterEnd begins when the process with the given number, from 1, has ended or was killed.
func afterEnd(of int, p process) process { p.after = of; return p }

// together returns processes that begin at the same time.
func together(ps ...process) []process { return ps }

func first(r rules) process  { return collect(r, 1, false) }
func second(r rules) process { return collect(r, 2, false) }
func adopts(r rules) process { return collect(r, 2, true) }

var scenarios = []scenario{
	{name: "A: push over an old layer", begin: layerOnly, actors: func(r rules) []process {
		return together(askAndTag.process(r, "pusher"), first(r))
	}},
	{name: "B: re-push of an untagged image", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), first(r))
	}},
	{name: "C: push by digest", begin: oldImage, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher"), first(r))
	}},
	{name: "D: push of an index over an old child", begin: oldImage, actors: func(r rules) []process {
		return together(tagIndex.process(r, "pusher"), first(r))
	}},
	{name: "E: two pushers, and a user who deletes the tag", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher 1"), tagImage.process(r, "pusher 2"), untag(), first(r))
	}},
	{name: "F: push of an index, and a reader of the child", begin: oldImage, actors: func(r rules) []process {
		return together(pull(r, image), tagIndex.process(r, "pusher"), first(r))
	}},
	{name: "G: the collector dies, the next adopts", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), mortal(first(r)), afterEnd(2, adopts(r)))
	}},
	{name: "H: two collectors at once", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), first(r), second(r))
	}},
	{name: "I: push, and a reader by digest", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), pull(r, image), first(r))
	}},
	{name: "J: push of an index, and of its child by digest", begin: oldImage, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher 1"), tagIndex.process(r, "pusher 2"), first(r))
	}},
	{name: "K: push of an index, the collector dies, the next adopts", begin: oldImage, actors: func(r rules) []process {
		return together(tagIndex.process(r, "pusher"), mortal(first(r)), afterEnd(2, adopts(r)))
	}},
	{name: "L: two pushers of a new image over an old layer", begin: layerOnly, actors: func(r rules) []process {
		return together(askAndTag.process(r, "pusher 1"), tagImage.process(r, "pusher 2"), first(r))
	}},
	{name: "M: two collectors at once, one adopts from the other", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), first(r), adopts(r))
	}},
	{name: "N: push while the grace period ends", begin: layerOnly, actors: func(r rules) []process {
		return together(askAndTag.process(r, "pusher"), age(r), first(r))
	}},
	{name: "O: one pusher fails, another uploads the same image", begin: layerOnly, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher 1"), uploadAndTag.process(r, "pusher 2"), first(r))
	}},
	{name: "P: push by digest, two collectors at once", begin: oldImage, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher"), first(r), second(r))
	}},
	{name: "Q: the tag is overwritten", begin: oldImage, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher 1"), tagIndex.process(r, "pusher 2"), first(r))
	}},
	{name: "R: first push of all, while the grace period ends", begin: nothing, actors: func(r rules) []process {
		return together(askAndTag.process(r, "pusher"), age(r), first(r))
	}},
	{name: "S: push by digest while the grace period ends", begin: oldImage, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher"), age(r), first(r))
	}},
	{name: "T: push by digest, two collectors at once, one adopts", begin: oldImage, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher"), first(r), adopts(r))
	}},
	{name: "U: push by tag, two collectors, the grace period ends", begin: oldImage, noLinks: true, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), age(r), first(r), second(r))
	}},
	{name: "V: push by tag, a reader, two collectors at once", begin: oldImage, noLinks: true, actors: func(r rules) []process {
		return together(tagImage.process(r, "pusher"), pull(r, image), first(r), second(r))
	}},
	{name: "W: push by digest, a collector adopts, the grace period ends", begin: oldImage, noLinks: true, actors: func(r rules) []process {
		return together(imageDigest.process(r, "pusher"), age(r), first(r), adopts(r))
	}},
	{name: "X: push of an index while the grace period ends", begin: oldImage, actors: func(r rules) []process {
		return together(tagIndex.process(r, "pusher"), age(r), first(r))
	}},
}

// explore explores the scenario with the given rules.
func (s scenario) explore(t *testing.T, r rules) outcome {
	t.Helper()
	r.links = !s.noLinks
	var begin world
	for x := range objects {
		if s.begin.has(x) && (x != linkL || r.links) {
			begin.set(x, live)
		}
	}
	processes := s.actors(r)
	for _, p := range processes {
		if len(p.steps) > maxSteps || len(processes) > maxProcesses {
			t.Fatalf("%s has %d steps and is one of %d processes", p.name, len(p.steps), len(processes))
		}
	}
	return explore(r, begin, processes)
}
