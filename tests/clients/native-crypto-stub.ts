import { registerHooks } from 'node:module'

/**
 * matrix-bot-sdk loads a native library at once, though only its encryption uses it; that library comes from no package
 * registry. An empty object in its place lets the rest of the SDK run. Import this file before matrix-bot-sdk.
 */
registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier !== '@matrix-org/matrix-sdk-crypto-nodejs') return nextResolve(specifier, context)
    return { url: new URL('./native-crypto-stub.json', import.meta.url).href, format: 'json', shortCircuit: true }
  },
})
