'use strict'
// `npm start`: installs what is missing, then runs the server with everything it needs in one folder.
const { launch, ROOT } = require('./launch.cjs')
const { installMissing } = require('./install.cjs')

installMissing(ROOT, { withDevelopment: false }).then(() => launch(['start', ...process.argv.slice(2)]))
