// The whole Hydrogen client, as its package offers it to others.
import { createNavigation, createRouter, FeatureSet, Platform, RootViewModel } from 'hydrogen-view-sdk'
import 'hydrogen-view-sdk/assets/theme-element-light.css'
import downloadSandbox from 'hydrogen-view-sdk/download-sandbox.html?url'
import worker from 'hydrogen-view-sdk/main.js?url'
import olmLegacy from '@matrix-org/olm/olm_legacy.js?url'
import olmScript from '@matrix-org/olm/olm.js?url'
import olmWasm from '@matrix-org/olm/olm.wasm?url'

const platform = new Platform({
  container: document.querySelector('#app'),
  assetPaths: {
    downloadSandbox,
    worker,
    serviceWorker: 'sw.js',
    olm: { wasm: olmWasm, legacyBundle: olmLegacy, wasmBundle: olmScript },
  },
  config: { defaultHomeServer: new URLSearchParams(location.search).get('homeserver') },
  options: { development: false },
})
const navigation = createNavigation()
platform.setNavigation(navigation)
await platform.init()
const urlRouter = createRouter({ navigation, history: platform.history })
urlRouter.attach()
const viewModel = new RootViewModel({
  platform,
  navigation,
  urlRouter,
  urlCreator: urlRouter,
  features: await FeatureSet.load(platform.settingsStorage),
})
await viewModel.load()
platform.createAndMountRootView(viewModel)
