// Command example restarts a unit through deputy and shows what came of it:
//
//	go run ./clients/go nginx.service
package main

import (
	"context"
	"fmt"
	"os"

	"deputy"
	"deputy/client"
)

func main() {
	// On the same machine: the kernel says who asks. From another one:
	//	client.Signed("https://gate1:7668", "panel", secret, "gate1")
	d := client.New("/run/deputy/deputy.sock")
	r, err := d.Run(context.Background(), "service", "restart", deputy.Params{"unit": os.Args[1]}, client.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	fmt.Println(r.OK, r.Code, r.Stdout)
}
