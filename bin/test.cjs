'use strict'
// `npm test`: installs what is missing, development packages included, then runs everything that CI runs.
const path = require('node:path')
const { ROOT, runOnNode24 } = require('./launch.cjs')
const { installMissing } = require('./install.cjs')

installMissing(ROOT, { withDevelopment: true }).then(() =>
  runOnNode24(path.join(ROOT, 'scripts', 'test.ts'), process.argv.slice(2)),
)
