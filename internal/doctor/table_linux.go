package doctor

// checks is all that is looked at, in this order.
func checks() []check {
	return []check{
		{"daemon", serving, daemon, nil},
		{"policy", denied, policyFiles, (*Machine).declared},
		{"certificate", signed, certificates, (*Machine).certificateFiles},
		{"keys", denied, keyFiles, (*Machine).declared},
		{"programs", denied, programs, (*Machine).programFiles},
		{"state", confined, stateFiles, (*Machine).kept},
		{"journal", proven, journalChain, (*Machine).kept},
		{"disk", durable, fileSystem, (*Machine).kept},
		{"disk", output, holes, (*Machine).kept},
		{"disk", recorded, room, (*Machine).kept},
		{"cgroup", nothing, cgroupTree, nil},
		{"cgroup", "limits on what a task may use (memory, processes, processor)", controllers, nil},
		{"kernel", nothing, births, nil},
		{"kernel", exact, exits, nil},
		{"kernel", confined, confinement, nil},
		{"systemd", exact + ", when the whole service is killed", unit, nil},
		{"clock", signed, clock, nil},
		{"limits", many, limits, (*Machine).kept},
		{"access", "the progress that tasks tell of themselves", hiddenProcesses, nil},
		{"access", "what actions may do", mandatoryAccess, nil},
	}
}
