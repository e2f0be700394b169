package state

// A task's life is one table, and Happen alone changes a phase: replay and the
// running monitor walk through it alike.

// Phase is where a task's process tree stands. It is finer than deputy.State.
type Phase string

const (
	Queued    Phase = "queued"   // waits for its lock; nothing was started
	Starting  Phase = "starting" // the intent is recorded; a process may have been born
	Running   Phase = "running"
	Lingering Phase = "lingering" // its first process has ended by itself; what is left has a moment to do so, too
	Stopping  Phase = "stopping"  // the stop signal was sent, or will be once the process is born
	Killing   Phase = "killing"   // everything in its tree is being killed
	Over      Phase = "over"      // nothing lives and the status is known: the end is being recorded
)

// Happening is what may befall a task.
type Happening string

const (
	Intended   Happening = "intended"    // the intent to start it is recorded
	Barred     Happening = "barred"      // it may not be started any more: too late, or the policy forbids it
	Born       Happening = "born"        // its first process was started
	Stillborn  Happening = "stillborn"   // its first process could not be started
	Hung       Happening = "hung"        // it was born, and has not become its program in time
	Exited     Happening = "exited"      // the first process ended, others of its tree may live
	Emptied    Happening = "emptied"     // nothing lives, the first process's status is still to come
	Gone       Happening = "gone"        // the later of the two above: the status is known and nothing lives
	Stop       Happening = "stop"        // somebody may and wants to stop it; recorded
	Deadline   Happening = "deadline"    // its time is up; recorded
	GraceOver  Happening = "grace over"  // the grace period after the stop signal is over
	LingerOver Happening = "linger over" // what outlived the first process had its time to end by itself

	// What a monitor finds of the tasks that an earlier one left.
	TakenUp  Happening = "taken up" // whatever became of it is to be found out
	Put      Happening = "put back" // nothing came of the intent to start it, which was another boot's: it is intended anew
	Found    Happening = "found"    // its process tree is there, and watched again
	Vanished Happening = "vanished" // how it ended cannot be found out
)

// Effect is what the monitor does about it.
type Effect string

const (
	Nothing    Effect = ""
	Watch      Effect = "watch"
	Signal     Effect = "signal" // the stop signal, then the grace period
	Hurry      Effect = "wait no longer for its birth"
	Shorten    Effect = "shorten the grace period"
	Linger     Effect = "linger"
	Kill       Effect = "kill"
	Finish     Effect = "finish"     // find the end's state and record it
	Impossible Effect = "impossible" // cannot happen: a fault in deputy, logged, the task stays as it is
)

// Phases are all that there are.
func Phases() []Phase { return []Phase{Queued, Starting, Running, Lingering, Stopping, Killing, Over} }

// Happenings are all that there are.
func Happenings() []Happening {
	return []Happening{Intended, Barred, Born, Stillborn, Hung, Exited, Emptied, Gone, Stop, Deadline, GraceOver, LingerOver,
		TakenUp, Put, Found, Vanished}
}

// Happen changes the phase as the table says, and says what is to be done.
func (t *Task) Happen(h Happening) Effect {
	next, do := transition(t.Phase, h)
	t.Phase = next
	return do
}

// transition is the life of a task: one row for each phase, one case for each
// thing that may happen in it. What is not named cannot happen.
//
// A stop that comes while the process is being born leaves the phase Stopping;
// the signal follows at its birth, which is not waited for any longer. What the
// first process leaves behind when it ends by itself may linger, for its output's
// sake, unless somebody wants it stopped; after a stop signal the rest of the tree
// has the rest of the grace period.
func transition(p Phase, h Happening) (Phase, Effect) {
	switch p {
	case Queued:
		switch h {
		case Intended:
			return Starting, Nothing // it is started once the intent is durable
		case Stop, Barred, Vanished:
			return Over, Finish
		case TakenUp:
			return Queued, Nothing
		}
	case Starting:
		switch h {
		case Born:
			return Running, Watch
		case Stillborn, Vanished:
			return Over, Finish
		case Stop:
			return Stopping, Hurry
		case Intended, TakenUp: // of an intent that an earlier monitor had recorded in vain
			return Starting, Nothing
		case Put:
			return Queued, Nothing
		case Found:
			return Running, Nothing
		}
	case Running:
		switch h {
		case Exited:
			return Lingering, Linger
		case Hung:
			return Killing, Kill
		case Emptied:
			return Running, Nothing
		case Gone, Vanished:
			return Over, Finish
		case Stop, Deadline:
			return Stopping, Signal
		case TakenUp:
			return Starting, Nothing
		}
	case Lingering:
		switch h {
		case Gone:
			return Over, Finish
		case Stop, Deadline, LingerOver:
			return Killing, Kill
		case TakenUp:
			return Starting, Nothing
		}
	case Stopping:
		switch h {
		case Born:
			return Stopping, Signal
		case Stillborn, Gone:
			return Over, Finish
		case Exited, Emptied, Hung:
			return Stopping, Nothing
		case Stop:
			return Stopping, Shorten
		case Deadline:
			return Stopping, Nothing
		case GraceOver:
			return Killing, Kill
		case TakenUp:
			return Starting, Nothing
		}
	case Killing:
		switch h {
		case Gone:
			return Over, Finish
		case Exited, Emptied, Stop, Deadline, GraceOver, LingerOver:
			return Killing, Nothing
		case TakenUp:
			return Starting, Nothing
		}
	case Over:
		switch h {
		case Stop, Deadline, GraceOver, LingerOver:
			return Over, Nothing
		case TakenUp: // its end was never recorded
			return Starting, Nothing
		}
	}
	return p, Impossible
}
