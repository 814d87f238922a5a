'use strict'
// Runs the program on the right Node. This folder is plain JavaScript that works on any Node from 20 on: it finds Node 24,
// which the package brings along, and hands over arguments, signals and the exit status.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.dirname(__dirname)
const NODE_MAJOR = 24
const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']

/** Subcommands that stay: their memory counts. */
const SERVERS = ['homeserver', 'worker', 'start']
/**
 * How V8 may use memory. Unasked it takes up to 128 MB for new objects, and lets the rest grow to four times what is in use
 * before it looks for garbage; a server needs neither (docs/performance.md has figures). NODE_OPTIONS of the admin go before.
 */
const MEMORY_FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=150']

/** Finds a Node 24: this one, the one that the package brings, or undefined. */
function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return process.execPath
  const bundled = path.join('bin', process.platform === 'win32' ? 'node.exe' : 'node')
  try {
    return path.join(path.dirname(require.resolve(`node-${process.platform}-${process.arch}/package.json`)), bundled)
  } catch {
    // Packages without an export of their package.json, or not installed: look where npm puts it.
    const candidate = path.join(ROOT, 'node_modules', `node-${process.platform}-${process.arch}`, bundled)
    return fs.existsSync(candidate) ? candidate : undefined
  }
}

/** Makes programs that we start find the same Node: scripts of packages begin with `#!/usr/bin/env node`. */
function putFirstInPath(directory) {
  const others = (process.env.PATH ?? '').split(path.delimiter).filter((entry) => entry !== '' && entry !== directory)
  process.env.PATH = [directory, ...others].join(path.delimiter)
}

/** Tells whether this process can become another program in its place: not where a parent talks to it over a channel. */
function canReplaceItself() {
  return typeof process.execve === 'function' && process.platform !== 'win32' && process.channel === undefined
}

/** Runs one file of ours on Node 24, in this process when it is one. Ends the process with the file's status. */
function runOnNode24(file, args, flags = []) {
  const node = findNode()
  if (node === undefined) {
    process.stderr.write(
      `ganglion needs Node ${NODE_MAJOR}, and this is ${process.versions.node}. Run \`npm ci\` in ${ROOT}: it brings the right one along ` +
        `(for ${process.platform}-${process.arch}, where there is one).\n`,
    )
    process.exit(1)
  }
  putFirstInPath(path.dirname(node))
  const runFile = path.join(__dirname, 'run.cjs')
  if (node === process.execPath && flags.length > 0 && canReplaceItself()) {
    process.execve(node, [node, ...process.execArgv, ...flags, runFile, file, ...args], process.env)
  }
  if (node === process.execPath) {
    const cacheDirectory = path.join(ROOT, 'node_modules', '.cache', 'compile')
    // A second start compiles nothing. Where the folder cannot be written, Node goes on without.
    require('node:module').enableCompileCache?.(cacheDirectory)
    process.argv = [process.argv[0], file, ...args]
    // Windows paths are no URLs, hence the conversion.
    return import(require('node:url').pathToFileURL(file).href)
  }
  // The channel tells the child when this process is killed: it stops then, instead of running on unseen.
  const child = spawn(node, [...flags, runFile, file, ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  for (const signal of FORWARDED_SIGNALS) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`ganglion: cannot run ${node}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (status, signal) => {
    if (signal === null) process.exit(status)
    for (const forwarded of FORWARDED_SIGNALS) process.removeAllListeners(forwarded)
    process.kill(process.pid, signal)
  })
  return new Promise(() => {})
}

/** Runs a subcommand of the program. */
function launch(args) {
  const isTuned = (process.env.NODE_OPTIONS ?? '').includes('-semi-space-size')
  const flags = SERVERS.includes(args[0]) && !isTuned ? MEMORY_FLAGS : []
  return runOnNode24(path.join(ROOT, 'src', 'cli', 'main.ts'), args, flags)
}

module.exports = { launch, runOnNode24, ROOT }
