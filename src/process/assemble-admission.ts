import { AccountValidity } from '../services/accounts/account-validity.ts'
import { Admission } from '../services/accounts/admission.ts'
import { Consents } from '../services/accounts/consents.ts'
import { TemplateRenderer } from '../templates/template-renderer.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { UserDataServices } from './assemble-user-data.ts'
import type { VerificationServices } from './assemble-verification.ts'

/** Who may use the server. */
export interface AdmissionServices {
  readonly admission: Admission
  readonly consents: Consents
  readonly accountValidity: AccountValidity
}

/** Wires agreement to the policy, accounts that end, and limits of use. */
export function assembleAdmission(
  core: Core,
  deps: {
    readonly cluster: Cluster
    readonly accounts: AccountServices
    readonly userData: UserDataServices
    readonly verification: VerificationServices
  },
): AdmissionServices {
  const { config, database, clock, random, serverName } = core
  const { accounts, userData, verification } = deps
  const { standings, useLimits } = accounts
  const { publicBaseUrl } = config.server
  const { templateDir, version, blockEventsError } = config.registration.userConsent
  const common = { server_name: serverName, app_name: config.email.email.appName }
  const consents = new Consents({
    database,
    clock,
    standings,
    templates:
      templateDir === undefined ? undefined : new TemplateRenderer({ directories: [templateDir], publicBaseUrl, common }),
    options: {
      version,
      blockMessage: blockEventsError,
      secret: config.keys.formSecret ?? config.keys.macaroonSecretKey,
      publicBaseUrl,
      serverName,
    },
  })
  const accountValidity = new AccountValidity({
    database,
    clock,
    random,
    logger: core.logger.child('account_validity'),
    standings,
    sender: verification.mailSender,
    options: config.email,
    publicBaseUrl,
    getDisplayName: async (userId) => (await userData.profiles.getNameAndAvatar(userId)).displayname,
  })
  accounts.onRegistered.push(async ({ userId, isGuest, agreedVersion }) => {
    if (agreedVersion !== undefined) await consents.record(userId, agreedVersion)
    if (accountValidity.isEnabled && !isGuest) await accountValidity.renew(userId)
  })
  if (accountValidity.isEnabled)
    deps.cluster.addRole(
      'account_validity',
      { start: () => accountValidity.start(), stop: () => accountValidity.stop() },
      { placedAs: 'background_tasks' },
    )
  return { admission: new Admission({ validity: accountValidity, consents, limits: useLimits }), consents, accountValidity }
}
