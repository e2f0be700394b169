package monitor

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

// happening is what may befall a task.
type happening string

const (
	begin      happening = "begin"       // its lock is free and the intent to start it is recorded
	born       happening = "born"        // its first process was started
	stillborn  happening = "stillborn"   // its first process could not be started
	hung       happening = "hung"        // it was born, and has not become its program in time
	exited     happening = "exited"      // the first process ended, others of its tree may live
	emptied    happening = "emptied"     // nothing lives, the first process's status is still to come
	gone       happening = "gone"        // the later of the two above: the status is known and nothing lives
	stop       happening = "stop"        // somebody may and wants to stop it; recorded
	deadline   happening = "deadline"    // its time is up; recorded
	graceOver  happening = "grace over"  // the grace period after the stop signal is over
	lingerOver happening = "linger over" // what outlived the first process had its time to end by itself
	expired    happening = "expired"     // its time to be started in is over
)

// effect is what the monitor does about it.
type effect string

const (
	nothing    effect = ""
	start      effect = "start"
	watch      effect = "watch"
	signal     effect = "signal" // the stop signal, then the grace period
	hurry      effect = "wait no longer for its birth"
	shorten    effect = "shorten the grace period"
	linger     effect = "linger"
	kill       effect = "kill"
	finish     effect = "finish"     // find the end's state and record it
	impossible effect = "impossible" // cannot happen: a fault in deputy, logged, the task stays as it is
)

func phases() []Phase { return []Phase{Queued, Starting, Running, Lingering, Stopping, Killing, Over} }

func happenings() []happening {
	return []happening{begin, born, stillborn, hung, exited, emptied, gone, stop, deadline, graceOver, lingerOver, expired}
}

// transition is the life of a task: one row for each phase, one case for each
// thing that may happen in it. What is not named cannot happen.
//
// A stop that comes while the process is being born leaves the phase Stopping;
// the signal follows at its birth, which is not waited for any longer. What the first process leaves behind when it
// ends by itself may linger, for its output's sake, unless somebody wants it stopped;
// after a stop signal the rest of the tree has the rest of the grace period.
func transition(p Phase, h happening) (Phase, effect) {
	switch p {
	case Queued:
		switch h {
		case begin:
			return Starting, start
		case stop, expired:
			return Over, finish
		}
	case Starting:
		switch h {
		case born:
			return Running, watch
		case stillborn:
			return Over, finish
		case stop:
			return Stopping, hurry
		}
	case Running:
		switch h {
		case exited:
			return Lingering, linger
		case hung:
			return Killing, kill
		case emptied:
			return Running, nothing
		case gone:
			return Over, finish
		case stop, deadline:
			return Stopping, signal
		}
	case Lingering:
		switch h {
		case gone:
			return Over, finish
		case stop, deadline, lingerOver:
			return Killing, kill
		}
	case Stopping:
		switch h {
		case born:
			return Stopping, signal
		case stillborn, gone:
			return Over, finish
		case exited, emptied, hung:
			return Stopping, nothing
		case stop:
			return Stopping, shorten
		case deadline:
			return Stopping, nothing
		case graceOver:
			return Killing, kill
		}
	case Killing:
		switch h {
		case gone:
			return Over, finish
		case exited, emptied, stop, deadline, graceOver, lingerOver:
			return Killing, nothing
		}
	case Over:
		switch h {
		case stop, deadline, graceOver, lingerOver:
			return Over, nothing
		}
	}
	return p, impossible
}
