package monitor

const trustedAttributes = "trusted"
