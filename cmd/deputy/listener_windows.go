package main

import "net"

// listener knows nothing here: whose pipe it is says its owner, see mine.
func listener(net.Conn) (uid int, known bool, err error) { return 0, false, nil }
