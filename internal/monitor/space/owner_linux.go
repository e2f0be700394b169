package space

const trustedAttributes = "trusted"
