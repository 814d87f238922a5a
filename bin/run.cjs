'use strict'
// The far side of launch.cjs: Node 24 starts here when an older Node handed over.
const [file, ...args] = process.argv.slice(2)
require('./launch.cjs').runOnNode24(file, args)
